package auth

import (
	"encoding/base64"
	"hash"
	"time"
)

const (
	flaskMaxAge     = 31 * 24 * time.Hour // PERMANENT_SESSION_LIFETIME
	starletteMaxAge = 14 * 24 * time.Hour // max_age of SessionMiddleware
)

// dangerous values are those of itsdangerous' TimestampSigner: body + "." +
// base64url(seconds, big endian) + "." + HMAC of both. Flask and Starlette differ in
// how the key is derived and in what the body is.
type dangerous struct {
	keys   KeyRing
	hash   func() hash.Hash
	maxAge time.Duration
	body   func(string) (map[string]any, error)
}

// newFlask: the key is HMAC(SECRET_KEY, salt), the body packed and tagged JSON.
func newFlask(o decodeOptions) (decoder, error) {
	h, err := digestOr("digest", o.digest, "sha1")
	if err != nil {
		return nil, err
	}
	salt := orText(o.salt, "cookie-session")
	keys, err := o.secrets.derive(func(key []byte) ([]byte, error) { return macOf(h, key, salt), nil })
	return dangerous{keys: keys, hash: h, maxAge: orAge(o.maxAge, flaskMaxAge), body: flaskBody}, err
}

// newStarlette: the key is SHA1(salt + "signer" + secret), the body base64 JSON.
func newStarlette(o decodeOptions) (decoder, error) {
	h, err := digestOr("digest", o.digest, "sha1")
	if err != nil {
		return nil, err
	}
	salt := orText(o.salt, "itsdangerous.Signer")
	keys, err := o.secrets.derive(func(key []byte) ([]byte, error) {
		sum := h()
		sum.Write([]byte(salt + "signer"))
		sum.Write(key)
		return sum.Sum(nil), nil
	})
	return dangerous{keys: keys, hash: h, maxAge: orAge(o.maxAge, starletteMaxAge), body: starletteBody}, err
}

func (d dangerous) decode(c cookie, _ time.Time) (decoded, error) {
	parts, err := cutStamped(c.value, ".")
	if err != nil {
		return decoded{}, err
	}
	if err := d.keys.verify(d.hash, base64.RawURLEncoding.EncodeToString, parts.signature, parts.signed); err != nil {
		return decoded{}, err
	}
	seconds, err := unbase64(urlBase64, parts.stamp)
	if err != nil || len(seconds) == 0 || len(seconds) > 5 {
		return decoded{}, refuse(Malformed, "its time is not a number")
	}
	var n int64
	for _, b := range seconds {
		n = n<<8 | int64(b)
	}
	out := decoded{issued: time.Unix(n, 0)}
	out.expires = out.issued.Add(d.maxAge)
	out.payload, err = d.body(parts.body)
	return out, err
}

func starletteBody(body string) (map[string]any, error) {
	data, err := unbase64(stdBase64, body)
	if err != nil {
		return nil, err
	}
	return parseObject(data)
}

func flaskBody(body string) (map[string]any, error) {
	payload, err := packedJSON(body)
	if err != nil {
		return nil, err
	}
	for name, value := range payload {
		payload[name] = untag(value)
	}
	return payload, nil
}

// untag takes off the tags of Flask's serializer: {" t": [...]} is a tuple, {" di":
// {"x__": ...}} a dict that looks like a tag, the others are texts of some type.
func untag(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = untag(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = untag(v[name])
		}
		if len(v) == 1 {
			return untagOne(v)
		}
	}
	return v
}

func untagOne(v map[string]any) any {
	for name, value := range v {
		switch name {
		case " t", " b", " m", " u", " d":
			return value
		case " di":
			return untagDict(value)
		}
	}
	return v
}

func untagDict(v any) any {
	dict, ok := v.(map[string]any)
	if !ok || len(dict) != 1 {
		return v
	}
	for name, value := range dict {
		if len(name) > 2 && name[len(name)-2:] == "__" {
			return map[string]any{name[:len(name)-2]: value}
		}
	}
	return v
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func orAge(age, otherwise time.Duration) time.Duration {
	if age == 0 {
		return otherwise
	}
	return age
}
