package auth

import (
	"strings"
	"time"
)

// supabase cookies hold the session as JSON, percent-encoded or "base64-" + base64url
// of it; its access_token is a JWT, which alone is believed.
type supabase struct{ token *token }

func newSupabase(o decodeOptions) (decoder, error) {
	t, err := newToken(o)
	if err != nil {
		return nil, err
	}
	return supabase{token: t}, nil
}

func (s supabase) decode(c cookie, now time.Time) (decoded, error) {
	text, err := supabaseToken(c.value)
	if err != nil {
		return decoded{}, err
	}
	return s.token.open(text, now)
}

// supabaseToken is the JWT in the cookie.
func supabaseToken(value string) (string, error) {
	value, err := unescape(value)
	if err != nil {
		return "", err
	}
	data := []byte(value)
	if body, ok := strings.CutPrefix(value, "base64-"); ok {
		if data, err = unbase64(urlBase64, body); err != nil {
			return "", err
		}
	}
	v, err := parseJSON(data)
	if err != nil {
		return "", err
	}
	text, ok := accessToken(v)
	if !ok {
		return "", refuse(Malformed, "it has no access_token")
	}
	return text, nil
}

// accessToken: older helpers write a list whose first value it is.
func accessToken(v any) (string, bool) {
	if list, ok := v.([]any); ok && len(list) > 0 {
		text, ok := list[0].(string)
		return text, ok
	}
	object, _ := v.(map[string]any)
	text, ok := object["access_token"].(string)
	return text, ok
}
