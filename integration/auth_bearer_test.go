package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signJWT makes a token as an issuer would.
func signJWT(t testing.TB, secret string, header, claims map[string]any) (token string) {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(header) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	token = signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	leaks.secret(t, "token", token, token[strings.LastIndexByte(token, '.')+1:])
	return token
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// TestAuthBearer: tokens that name a session of the store end with it, and with their time.
func TestAuthBearer(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	secret := newToken() + newToken()
	leaks.secret(t, "secret of tokens", secret)
	settings := plainAuth
	settings.entries = `  - bearer: true
    decode: jwt
    algorithms: [HS256]
    secrets: [env:TOKEN_SECRET]
    audience: notes
    from: session_id
    store: {table: sessions, key: id}
    user: user_id
` + settings.entries
	settings.limits = manyFailures
	settings.channels = "  notes: {table: public.notes, allow: row.user_id == user.id}\n  open: {table: public.notes, allow: public}\n"
	r := startAuthRelay(t, db, settings.yaml(), "TOKEN_SECRET="+secret)
	id := db.newSession(t, 1)
	hs256 := map[string]any{"alg": "HS256", "typ": "JWT"}
	claims := func(ttl time.Duration, more ...string) map[string]any {
		out := map[string]any{"session_id": id, "aud": "notes", "exp": time.Now().Add(ttl).Unix()}
		for _, m := range more {
			name, value, _ := strings.Cut(m, "=")
			out[name] = value
		}
		return out
	}
	good := signJWT(t, secret, hs256, claims(time.Hour))
	none := signJWT(t, secret, map[string]any{"alg": "none"}, claims(time.Hour))
	for name, token := range map[string]string{
		"another secret":   signJWT(t, newToken()+newToken(), hs256, claims(time.Hour)),
		"over":             signJWT(t, secret, hs256, claims(-time.Hour)),
		"without an end":   signJWT(t, secret, hs256, map[string]any{"session_id": id, "aud": "notes"}),
		"for others":       signJWT(t, secret, hs256, claims(time.Hour, "aud=others")),
		"not signed":       none[:strings.LastIndexByte(none, '.')+1],
		"signed as none":   none,
		"other algorithm":  signJWT(t, secret, map[string]any{"alg": "HS512"}, claims(time.Hour)),
		"no such session":  signJWT(t, secret, hs256, claims(time.Hour, "session_id="+sessionID(t))),
		"a session's id":   id,
		"cut":              good[:len(good)-2],
		"claims of nobody": signJWT(t, secret, hs256, claims(time.Hour, "session_id=")),
	} {
		t.Run(name, func(t *testing.T) {
			r.wantOutcome(t, "401", bearer(token), "notes")
			// The entry whose header is there decides; a good cookie does not help.
			both := bearer(token)
			both.Set("Cookie", "sid="+id)
			r.wantOutcome(t, "401", both, "notes")
		})
	}
	inQuery := r.streamURL("notes") + "&" + url.Values{"access_token": {good}, "token": {good}, "sid": {id}}.Encode()
	if a := ask(t, http.MethodGet, inQuery, nil); a.status != http.StatusUnauthorized {
		t.Errorf("a token in the query got %d", a.status)
	}
	r.wantOutcome(t, "ready", sid(id), "notes")

	// Clocks differ: a token counts for 30 s longer than it says.
	soon := time.Now().Add(5 * time.Second).Truncate(time.Second)
	long, short := r.signedIn(t, bearer(good), "notes"), r.signedIn(t, bearer(signJWT(t, secret, hs256, map[string]any{"session_id": id, "aud": []string{"notes"}, "exp": soon.Add(-30 * time.Second).Unix()})), "notes")
	long.wantAlive(t, db, 1)
	short.ended(t, "signed_out")
	if now := time.Now(); now.Before(soon) {
		t.Errorf("the token counted until %v, not until %v", now, soon)
	}
	long.wantAlive(t, db, 1)
	db.exec(t, "delete from sessions where id = '"+id+"'; "+insertNote(1, "too late"))
	long.wantEnd(t, "signed_out")
	r.wantOutcome(t, "401", bearer(good), "notes")
}
