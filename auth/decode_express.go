package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// express cookies are "s:" + id + "." + HMAC-SHA256(secret, id), percent-encoded
// (express-session, cookie-signature).
type express struct{ keys KeyRing }

func newExpress(o decodeOptions) (decoder, error) { return express{keys: o.secrets}, nil }

func (e express) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	// Without the prefix it is not signed, with "j:" it is JSON of whoever sent it.
	signed, ok := strings.CutPrefix(value, "s:")
	if !ok {
		return decoded{}, refuse(Malformed, "it does not begin with s:, so it is not signed")
	}
	id, signature, ok := cutLast(signed, ".")
	if !ok || id == "" {
		return decoded{}, refuse(Malformed, "it has no signature")
	}
	if err := e.keys.verify(sha256.New, base64.RawStdEncoding.EncodeToString, signature, id); err != nil {
		return decoded{}, err
	}
	return decoded{key: []byte(id)}, nil
}
