package auth

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
)

// digests are the hashes that frameworks let people choose.
var digests = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

// digestOr is the hash that an option names, or the framework's own.
func digestOr(option, name, otherwise string) (func() hash.Hash, error) {
	if name == "" {
		name = otherwise
	}
	h, ok := digests[name]
	if !ok {
		return nil, fmt.Errorf("%s is sha1, sha256, sha384 or sha512", option)
	}
	return h, nil
}

// find returns the key of the ring under which the HMAC of the message (parts, one
// after the other) is written as text. All keys are tried, in constant time, so that
// an answer's time tells nothing about the ring. Comparing texts refuses every second
// spelling of a right signature.
func (r KeyRing) find(h func() hash.Hash, encode func([]byte) string, text string, parts ...string) (Secret, bool) {
	var found Secret
	ok := false
	for _, secret := range r {
		sum := macOf(h, secret.bytes(), parts...)
		if subtle.ConstantTimeCompare([]byte(encode(sum)), []byte(text)) == 1 && !ok {
			found, ok = secret, true
		}
	}
	return found, ok
}

// verify refuses a message that no key of the ring has signed, see find.
func (r KeyRing) verify(h func() hash.Hash, encode func([]byte) string, signature string, parts ...string) error {
	if _, ok := r.find(h, encode, signature, parts...); !ok {
		return refuse(BadSignature, "no secret has made its signature")
	}
	return nil
}

func macOf(h func() hash.Hash, key []byte, parts ...string) []byte {
	mac := hmac.New(h, key)
	for _, part := range parts {
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
