package auth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// joseLeeway is clockTolerance of Auth.js and NextAuth.
const joseLeeway = 15 * time.Second

// sealedToken are the cookies of Auth.js (v5) and NextAuth (v4) with the JWT strategy:
// compact JWE, `dir`, under a key derived from the secret with HKDF-SHA256.
type sealedToken struct {
	secrets    KeyRing
	encryption jose.ContentEncryption
	size       int
	salt, info func(name string) string
}

// newAuthJS: the cookie's name is in the key.
func newAuthJS(o decodeOptions) (decoder, error) {
	return sealedToken{
		secrets: o.secrets, encryption: jose.A256CBC_HS512, size: 64,
		salt: func(name string) string { return name },
		info: func(name string) string { return "Auth.js Generated Encryption Key (" + name + ")" },
	}, nil
}

func newNextAuth(o decodeOptions) (decoder, error) {
	return sealedToken{
		secrets: o.secrets, encryption: jose.A256GCM, size: 32,
		salt: func(string) string { return "" },
		info: func(string) string { return "NextAuth.js Generated Encryption Key" },
	}, nil
}

func (s sealedToken) decode(c cookie, now time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	text, err := s.open(c.name, value)
	if err != nil {
		return decoded{}, err
	}
	claims, err := parseObject(text)
	if err != nil {
		return decoded{}, err
	}
	return sealedLifetime(claims, now)
}

func sealedLifetime(claims map[string]any, now time.Time) (decoded, error) {
	expires, okExp := claimTime(claims, "exp")
	issued, okIat := claimTime(claims, "iat")
	begins, okNbf := claimTime(claims, "nbf")
	if !okExp || !okIat || !okNbf || expires.IsZero() {
		return decoded{}, refuse(Malformed, "exp is missing, or exp, iat or nbf is not a time")
	}
	if begins.After(now.Add(joseLeeway)) {
		return decoded{}, refuse(NotYetValid, "it is valid only later")
	}
	return decoded{payload: claims, issued: issued, expires: expires.Add(joseLeeway)}, nil
}

// open decrypts: the library checks the tag first.
func (s sealedToken) open(name, value string) ([]byte, error) {
	header, err := tokenHeader(value)
	if err != nil {
		return nil, err
	}
	if header["alg"] != string(jose.DIRECT) || header["enc"] != string(s.encryption) {
		return nil, refuse(WrongAlgorithm, "alg or enc is not what this version writes")
	}
	sealed, err := jose.ParseEncryptedCompact(value, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{s.encryption})
	if err != nil {
		return nil, refuse(Malformed, "it is not a compact encrypted token")
	}
	for _, secret := range s.secrets {
		key, err := hkdf.Key(sha256.New, secret.bytes(), []byte(s.salt(name)), s.info(name), s.size)
		if err != nil {
			return nil, refuse(Unsupported, "this build refuses the key derivation")
		}
		if text, err := sealed.Decrypt(key); err == nil {
			return text, nil
		}
	}
	return nil, refuse(BadSignature, "no secret has sealed it under this cookie name")
}
