package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

const (
	djangoCookieSalt = "django.contrib.sessions.backends.signed_cookies"
	djangoStoreSalt  = "django.contrib.sessions.SessionStore"
	djangoMaxAge     = 14 * 24 * time.Hour // SESSION_COOKIE_AGE
)

// django values are [.]base64url(zlib?(JSON)) + ":" + base62 seconds + ":" +
// HMAC-SHA256 under SHA256(salt + "signer" + SECRET_KEY). Cookies of the
// signed_cookies backend and the column session_data of the others have that form.
type django struct {
	keys   KeyRing
	maxAge time.Duration // zero: no limit, the row has its own
}

func newDjango(o decodeOptions) (decoder, error) {
	if o.maxAge == 0 {
		o.maxAge = djangoMaxAge
	}
	return djangoWith(o, djangoCookieSalt)
}

func djangoWith(o decodeOptions, salt string) (decoder, error) {
	if o.salt != "" {
		salt = o.salt
	}
	keys, err := o.secrets.derive(func(key []byte) ([]byte, error) {
		sum := sha256.Sum256([]byte(salt + "signer" + string(key)))
		return sum[:], nil
	})
	return django{keys: keys, maxAge: o.maxAge}, err
}

func (d django) decode(c cookie, _ time.Time) (decoded, error) {
	signed, signature, _ := cutLast(c.value, ":")
	body, stamp, ok := cutLast(signed, ":")
	if !ok {
		return decoded{}, refuse(Malformed, "it has not three parts")
	}
	if _, ok := d.keys.find(sha256.New, base64.RawURLEncoding.EncodeToString, signature, signed); !ok {
		return decoded{}, refuse(BadSignature, "no secret has made its signature")
	}
	seconds, ok := base62(stamp)
	if !ok {
		return decoded{}, refuse(Malformed, "its time is not a number")
	}
	out := decoded{issued: time.Unix(seconds, 0)}
	if d.maxAge > 0 {
		out.expires = out.issued.Add(d.maxAge)
	}
	var err error
	out.payload, err = packedJSON(body)
	return out, err
}

// packedJSON reads what Django and itsdangerous write: base64url of JSON, of zlib of
// it when a dot stands before.
func packedJSON(body string) (map[string]any, error) {
	body, packed := strings.CutPrefix(body, ".")
	data, err := unbase64(urlBase64, body)
	if err != nil {
		return nil, err
	}
	if packed {
		if data, err = inflate(data, maxInflated); err != nil {
			return nil, err
		}
	}
	return parseObject(data)
}

// base62 reads a number of at most 7 digits 0-9A-Za-z: seconds, up to about the year
// 113000, so that it cannot overflow.
func base62(text string) (n int64, ok bool) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if len(text) == 0 || len(text) > 7 {
		return 0, false
	}
	for _, c := range []byte(text) {
		digit := strings.IndexByte(digits, c)
		if digit < 0 {
			return 0, false
		}
		n = n*62 + int64(digit)
	}
	return n, true
}
