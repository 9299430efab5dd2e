package auth

import (
	"net/http"
	"strings"
	"testing"
)

func TestBearerTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxCookie)
	for name, c := range map[string]struct {
		values  []string
		want    string
		present bool
		reason  Reason
	}{
		"none":                {},
		"empty":               {values: []string{""}},
		"basic":               {values: []string{"Basic Zm9vOmJhcg=="}},
		"a scheme's prefix":   {values: []string{"Bearers x"}},
		"no token":            {values: []string{"Bearer"}},
		"blanks for a token":  {values: []string{"Bearer  \t "}},
		"no scheme":           {values: []string{"eyJhbGciOiJub25lIn0.e30."}},
		"plain":               {values: []string{"Bearer a.b.c"}, want: "a.b.c", present: true},
		"scheme in lowercase": {values: []string{"bearer a.b.c"}, want: "a.b.c", present: true},
		"scheme in capitals":  {values: []string{"BEARER 1|abc"}, want: "1|abc", present: true},
		"more blanks":         {values: []string{" Bearer   x "}, want: "x", present: true},
		"as long as it may":   {values: []string{"Bearer " + long}, want: long, present: true},
		"too long":            {values: []string{"Bearer " + long + "a"}, present: true, reason: TooLarge},
		"two tokens":          {values: []string{"Bearer a b"}, present: true, reason: Malformed},
		"a list":              {values: []string{"Bearer a, Bearer b"}, present: true, reason: Malformed},
		"control characters":  {values: []string{"Bearer a\tb"}, present: true, reason: Malformed},
		"two headers":         {values: []string{"Bearer a", "Bearer a"}, present: true, reason: Malformed},
		"one of each":         {values: []string{"Basic a", "Bearer a"}, present: true, reason: Malformed},
	} {
		got, present, err := bearerToken(http.Header{"Authorization": c.values})
		if got.value != c.want || got.name != "" || present != c.present {
			t.Errorf("%s: token of %d bytes, present %v; want %d bytes, %v", name, len(got.value), present, len(c.want), c.present)
		}
		if c.reason == "" && err != nil || c.reason != "" && !refusedAs(err, c.reason) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
	}
}

// The query string is no place for tokens.
func TestBearerNotFromTheURL(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequest("GET", "http://x/events/orders?access_token=a&token=b&authorization=Bearer+c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, present, err := bearerToken(r.Header); present || err != nil {
		t.Errorf("present %v, %v", present, err)
	}
}
