package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// laravel cookies are base64 of {"iv","value","mac","tag"}: AES-CBC with a hex
// HMAC-SHA256 of iv+value, or AES-GCM with a tag. The plaintext is hex
// HMAC-SHA1(key, name+"v2"), "|" and the id of the session.
type laravel struct{ keys KeyRing }

func newLaravel(o decodeOptions) (decoder, error) {
	keys, err := o.secrets.derive(laravelKey)
	return laravel{keys: keys}, err
}

func laravelKey(key []byte) ([]byte, error) {
	if text, ok := strings.CutPrefix(string(key), "base64:"); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("what follows base64: is not base64")
		}
		key = raw
	}
	if len(key) != 16 && len(key) != 32 {
		return nil, errors.New("is no APP_KEY: that is base64: and 32 bytes (16 with AES-128)")
	}
	return key, nil
}

func (l laravel) decode(c cookie, _ time.Time) (decoded, error) {
	sealed, err := laravelEnvelope(c.value)
	if err != nil {
		return decoded{}, err
	}
	text, key, err := l.open(sealed)
	if err != nil {
		return decoded{}, err
	}
	prefix := hex.EncodeToString(macOf(sha1.New, key.bytes(), c.name, "v2")) + "|"
	if len(text) < len(prefix) || subtle.ConstantTimeCompare(text[:len(prefix)], []byte(prefix)) != 1 {
		return decoded{}, refuse(WrongPurpose, "it was made for another cookie")
	}
	id := text[len(prefix):]
	if !laravelID(id) {
		return decoded{}, refuse(Malformed, "what it holds is not the id of a session")
	}
	return decoded{key: id}, nil
}

// laravelID is Laravel's own test: 40 letters and digits.
func laravelID(id []byte) bool {
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(id) == 40
}

// laravelSealed is the envelope: iv and value as received, because the MAC is over
// their texts.
type laravelSealed struct{ iv, value, mac, tag string }

func laravelEnvelope(value string) (laravelSealed, error) {
	value, err := unescape(value)
	if err != nil {
		return laravelSealed{}, err
	}
	data, err := unbase64(rawBase64, strings.TrimRight(value, "="))
	if err != nil {
		return laravelSealed{}, err
	}
	object, err := parseObject(data)
	if err != nil {
		return laravelSealed{}, err
	}
	text := func(name string) string { s, _ := object[name].(string); return s }
	return laravelSealed{iv: text("iv"), value: text("value"), mac: text("mac"), tag: text("tag")}, nil
}

func (l laravel) open(s laravelSealed) ([]byte, Secret, error) {
	iv, err := unbase64(stdBase64, s.iv)
	if err != nil {
		return nil, Secret{}, err
	}
	ciphertext, err := unbase64(stdBase64, s.value)
	if err != nil {
		return nil, Secret{}, err
	}
	if s.tag != "" {
		return l.openGCM(s, iv, ciphertext)
	}
	return l.openCBC(s, iv, ciphertext)
}

func (l laravel) openGCM(s laravelSealed, iv, ciphertext []byte) ([]byte, Secret, error) {
	tag, err := unbase64(stdBase64, s.tag)
	if err != nil {
		return nil, Secret{}, err
	}
	for _, key := range l.keys {
		var text []byte
		if text, err = openGCM(KeyRing{key}, iv, ciphertext, tag, nil); err == nil {
			return text, key, nil
		}
	}
	return nil, Secret{}, err
}

// openCBC checks the MAC before it touches the ciphertext: no padding oracle.
func (l laravel) openCBC(s laravelSealed, iv, ciphertext []byte) ([]byte, Secret, error) {
	if len(iv) != aes.BlockSize {
		return nil, Secret{}, refuse(Malformed, "the IV has not its full length")
	}
	key, ok := l.keys.find(sha256.New, hex.EncodeToString, s.mac, s.iv, s.value)
	if !ok {
		return nil, Secret{}, refuse(BadSignature, "no secret has made its MAC")
	}
	text, err := openCBC(key, iv, ciphertext)
	return text, key, err
}

// openCBC decrypts AES-CBC with PKCS 7 padding. The caller has checked the MAC and the
// length of the IV.
func openCBC(key Secret, iv, ciphertext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key.bytes())
	if err != nil || len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, refuse(Malformed, "the ciphertext is not in whole blocks")
	}
	text := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, ciphertext)
	padding := int(text[len(text)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, refuse(Malformed, "the padding is wrong")
	}
	for _, b := range text[len(text)-padding:] {
		if int(b) != padding {
			return nil, refuse(Malformed, "the padding is wrong")
		}
	}
	return text[:len(text)-padding], nil
}
