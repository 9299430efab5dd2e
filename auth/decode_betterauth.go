package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// betterAuth cookies are token + "." + HMAC-SHA256(secret, token) with padding,
// percent-encoded. The cookie cache (session_data) is not read: it outlives the
// session.
type betterAuth struct{ keys KeyRing }

func newBetterAuth(o decodeOptions) (decoder, error) { return betterAuth{keys: o.secrets}, nil }

func (b betterAuth) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	token, signature, ok := cutLast(value, ".")
	if !ok || token == "" {
		return decoded{}, refuse(Malformed, "it has no signature")
	}
	if err := b.keys.verify(sha256.New, base64.StdEncoding.EncodeToString, signature, token); err != nil {
		return decoded{}, err
	}
	return decoded{key: []byte(token)}, nil
}
