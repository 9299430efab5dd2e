package auth

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	ironSkew    = 60 * time.Second // timestampSkewSec of iron
	ironMinimum = 32               // bytes of a password, as iron-session demands
)

// iron cookies are Fe26.2*id*salt*iv*ciphertext*expiry*macSalt*mac, and ~2 after it:
// AES-256-CBC and HMAC-SHA256 over everything before macSalt, both keys from the
// password by one round of PBKDF2-SHA1. The id of the password only helps to find it,
// so that it is not read: every password of the ring is tried.
type iron struct{ keys KeyRing }

func newIron(o decodeOptions) (decoder, error) {
	_, err := o.secrets.derive(func(key []byte) ([]byte, error) {
		if len(key) < ironMinimum {
			return nil, errors.New("is shorter than the 32 characters that iron-session demands")
		}
		return key, nil
	})
	return iron{keys: o.secrets}, err
}

func (d iron) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	// Not covered by the MAC. Version 1 reads another part of the payload.
	value, version, versioned := strings.Cut(value, "~")
	parts := strings.Split(value, "*")
	if len(parts) != 8 || parts[0] != "Fe26.2" || versioned && version != "2" {
		return decoded{}, refuse(Malformed, "it is not a seal of iron-session")
	}
	password, err := d.password(parts)
	if err != nil {
		return decoded{}, err
	}
	expires, err := ironExpiry(parts[5])
	if err != nil {
		return decoded{}, err
	}
	text, err := ironOpen(password, parts[2], parts[3], parts[4])
	if err != nil {
		return decoded{}, err
	}
	payload, err := parseObject(text)
	return decoded{payload: payload, expires: expires}, err
}

// password is the one under which the MAC is right.
func (d iron) password(parts []string) (Secret, error) {
	signed := strings.Join(parts[:6], "*")
	var found Secret
	ok := false
	for _, password := range d.keys {
		key, err := ironKey(password, parts[6])
		if err != nil {
			return Secret{}, err
		}
		if _, fits := (KeyRing{key}).find(sha256.New, base64.RawURLEncoding.EncodeToString, parts[7], signed); fits && !ok {
			found, ok = password, true
		}
	}
	if !ok {
		return Secret{}, refuse(BadSignature, "no password has made its MAC")
	}
	return found, nil
}

func ironKey(password Secret, salt string) (Secret, error) {
	key, err := pbkdf2.Key(sha1.New, string(password.bytes()), []byte(salt), 1, 32)
	if err != nil {
		return Secret{}, refuse(Unsupported, "this build refuses iron's key derivation")
	}
	return NewSecret(key), nil
}

func ironExpiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		return time.Time{}, refuse(Malformed, "its time is not a number")
	}
	return time.UnixMilli(int64(ms)).Add(ironSkew), nil
}

func ironOpen(password Secret, salt, iv, ciphertext string) ([]byte, error) {
	rawIV, err := unbase64(urlBase64, iv)
	if err != nil {
		return nil, err
	}
	raw, err := unbase64(urlBase64, ciphertext)
	if err != nil {
		return nil, err
	}
	if len(rawIV) != 16 {
		return nil, refuse(Malformed, "the IV has not its full length")
	}
	key, err := ironKey(password, salt)
	if err != nil {
		return nil, err
	}
	return openCBC(key, rawIV, raw)
}
