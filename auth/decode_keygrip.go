package auth

import (
	"encoding/base64"
	"hash"
	"time"
)

// keygrip cookies are signed by a second one: name.sig is the HMAC (SHA1 unless
// configured) of "name=value". cookie-session puts base64 JSON into the value,
// koa-session with a store its key.
type keygrip struct {
	keys KeyRing
	hash func() hash.Hash
}

func newKeygrip(o decodeOptions) (decoder, error) {
	h, err := digestOr("digest", o.digest, "sha1")
	if err != nil {
		return nil, err
	}
	return keygrip{keys: o.secrets, hash: h}, nil
}

func (k keygrip) decode(c cookie, _ time.Time) (decoded, error) {
	if c.signature == "" {
		return decoded{}, refuse(Malformed, "the cookie with its signature (.sig) is missing")
	}
	if err := k.keys.verify(k.hash, base64.RawURLEncoding.EncodeToString, c.signature, c.name, "=", c.value); err != nil {
		return decoded{}, err
	}
	if text, err := unbase64(stdBase64, c.value); err == nil && len(text) > 0 && text[0] == '{' {
		payload, err := parseObject(text)
		return decoded{payload: payload}, err
	}
	return decoded{key: []byte(c.value)}, nil
}
