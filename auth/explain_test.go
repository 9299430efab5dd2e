package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func explained(w *world, cookie string) (out []string) {
	r := &http.Request{Header: http.Header{}}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for _, step := range w.Explain(w.t.Context(), r, Client{IP: "127.0.0.1"}) {
		out = append(out, fmt.Sprintf("%s %v: %s", step.Name, step.OK, step.Text))
	}
	return out
}

func TestExplain(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		mild := adas
		mild.expires = w.now().Add(time.Hour)
		w.have(mild, sessionRow{id: "5", token: "t-nobody", kind: "web"}, sessionRow{id: "6", token: "t-gone", user: "eve", kind: "web"})
		const decode = "decode true: plain: it carries no signature, the store decides"
		refused := "session false: refused: 401"
		cookie := func(n int) string { return fmt.Sprintf("cookie true: cookie sid: value 1 of 1, %d bytes", n) }
		ada := []string{decode, "store true: public.session: the row is there, its session ends in 1h0m0s (2000-01-01T01:00:00Z)",
			"user true: user_id is ada", `claims true: {"id":"ada","role":"admin"}`}
		for header, want := range map[string][]string{
			"": {"cookie true: there is no cookie sid; the request has no cookies",
				"session false: the request carries nothing that an entry reads: it is nobody's, and gets 401 but for public channels"},
			"a=1; b=2; a=3": {"cookie true: there is no cookie sid; the request has a, b",
				"session false: the request carries nothing that an entry reads: it is nobody's, and gets 401 but for public channels"},
			"sid=t-ada": append(append([]string{cookie(5)}, ada...),
				"session true: accepted; streams are renewed after 1h0m0s at most; a logout ends them at once"),
			"sid=unknown":  {cookie(7), decode, "store false: cookie refused (no_row): no row", refused},
			"sid=t-nobody": {cookie(8), decode, "user false: cookie refused (no_user): nobody", refused},
			"sid=t-gone":   {cookie(6), decode, "claims false: cookie refused (no_claims): no row of claims", refused},
			"sid=":         {"cookie true: cookie sid: value 1 of 1, 0 bytes", "decode false: plain: plain cookie refused (malformed): the value is empty", refused},
		} {
			got := explained(w, header)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", header, diff)
			}
			for _, secret := range []string{"t-ada", "t-nobody", "t-gone", "unknown"} {
				if strings.Contains(strings.Join(got, "\n"), secret) {
					t.Errorf("%q: the value of the cookie is shown", header)
				}
			}
		}
		two := explained(w, "sid=t-ada; sid=t-bob")
		if last := two[len(two)-1]; !strings.HasPrefix(last, "session false: refused: values of the same name") {
			t.Errorf("two users: %s", last)
		}
		w.down = errors.New("connection refused")
		away := explained(w, "sid=t-ada")
		if diff := cmp.Diff([]string{cookie(5), decode, "look-up false: it cannot be said now: connection refused",
			"session false: not known now: the stream is told to come back later"}, away); diff != "" {
			t.Errorf("Postgres is away (-want +got):\n%s", diff)
		}
	})
}
