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
	parts, err := cutStamped(c.value, ":")
	if err != nil {
		return decoded{}, err
	}
	if err := d.keys.verify(sha256.New, base64.RawURLEncoding.EncodeToString, parts.signature, parts.signed); err != nil {
		return decoded{}, err
	}
	seconds, ok := base62(parts.stamp)
	if !ok {
		return decoded{}, refuse(Malformed, "its time is not a number")
	}
	out := decoded{issued: time.Unix(seconds, 0)}
	if d.maxAge > 0 {
		out.expires = out.issued.Add(d.maxAge)
	}
	out.payload, err = packedJSON(parts.body)
	return out, err
}

// stamped are the parts of what Django and itsdangerous sign: body, time and signature.
type stamped struct {
	body, stamp, signature string
	signed                 string // body and time
}

func cutStamped(value, separator string) (p stamped, err error) {
	var ok bool
	p.signed, p.signature, _ = cutLast(value, separator)
	if p.body, p.stamp, ok = cutLast(p.signed, separator); !ok {
		return stamped{}, refuse(Malformed, "it has not three parts")
	}
	return p, nil
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
