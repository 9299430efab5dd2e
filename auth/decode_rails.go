package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strings"
	"time"
)

const railsRounds = 1000

// rails cookies of the cookie store are base64(ciphertext)--base64(IV)--base64(tag),
// percent-encoded; AES-256-GCM. Inside is an envelope with the cookie's name.
type rails struct{ keys KeyRing }

func newRails(o decodeOptions) (decoder, error) {
	keys, err := railsKeys(o, "authenticated encrypted cookie", 32)
	return rails{keys: keys}, err
}

// railsKeys derives with PBKDF2: SHA256 since the defaults of 7.0, SHA1 before.
func railsKeys(o decodeOptions, salt string, size int) (KeyRing, error) {
	h, err := digestOr("kdf", o.kdf, "sha256")
	if err != nil {
		return nil, err
	}
	salt = orText(o.salt, salt)
	return o.secrets.derive(func(key []byte) ([]byte, error) {
		return pbkdf2.Key(h, string(key), []byte(salt), railsRounds, size)
	})
}

func (r rails) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	text, err := r.open(value)
	if err != nil {
		return decoded{}, err
	}
	message, expires, err := railsEnvelope(text, c.name)
	if err != nil {
		return decoded{}, err
	}
	payload, ok := message.(map[string]any)
	if !ok {
		return decoded{}, refuse(Malformed, "the payload is not a JSON object")
	}
	return decoded{payload: payload, expires: expires}, nil
}

func (r rails) open(value string) ([]byte, error) {
	parts := strings.Split(value, "--")
	if len(parts) != 3 {
		return nil, refuse(Malformed, "it has not three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = unbase64(stdBase64, part); err != nil {
			return nil, err
		}
	}
	return openGCM(r.keys, raw[1], raw[0], raw[2], nil)
}

// openGCM decrypts with the first key of the ring that the tag fits. IV and tag must
// have their full length: a short tag can be guessed.
func openGCM(keys KeyRing, iv, ciphertext, tag, additional []byte) ([]byte, error) {
	if len(iv) != 12 || len(tag) != 16 {
		return nil, refuse(Malformed, "IV or tag has not its full length")
	}
	sealed := append(append(make([]byte, 0, len(ciphertext)+len(tag)), ciphertext...), tag...)
	for _, key := range keys {
		block, err := aes.NewCipher(key.bytes())
		if err != nil {
			return nil, refuse(BadSignature, "no secret fits")
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, refuse(BadSignature, "no secret fits")
		}
		if text, err := aead.Open(nil, iv, sealed, additional); err == nil {
			return text, nil
		}
	}
	return nil, refuse(BadSignature, "no secret has sealed it")
}

// railsEnvelope opens {"_rails": {"message": base64 JSON or "data": JSON, "exp", "pur"}}.
// A message without an envelope is not bound to a cookie and therefore refused.
func railsEnvelope(text []byte, name string) (message any, expires time.Time, err error) {
	outer, err := parseObject(text)
	if err != nil {
		return nil, time.Time{}, err
	}
	envelope, ok := outer["_rails"].(map[string]any)
	if !ok {
		return nil, time.Time{}, refuse(WrongPurpose, "it does not say for which cookie it was made (use_cookies_with_metadata)")
	}
	if envelope["pur"] != "cookie."+name {
		return nil, time.Time{}, refuse(WrongPurpose, "it was made for another cookie")
	}
	if expires, err = railsExpiry(envelope["exp"]); err != nil {
		return nil, time.Time{}, err
	}
	message, err = railsMessage(envelope)
	return message, expires, err
}

func railsExpiry(v any) (time.Time, error) {
	if v == nil {
		return time.Time{}, nil
	}
	text, _ := v.(string)
	expires, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, refuse(Malformed, "its time is not a time")
	}
	return expires, nil
}

func railsMessage(envelope map[string]any) (any, error) {
	if data, ok := envelope["data"]; ok {
		return data, nil
	}
	text, ok := envelope["message"].(string)
	if !ok {
		return nil, refuse(Malformed, "the envelope is empty")
	}
	raw, err := unbase64(stdBase64, text)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(string(raw), "\x04\x08") {
		return nil, refuse(Unsupported, "the payload is a Ruby Marshal object: set cookies_serializer to :json")
	}
	return parseJSON(raw)
}

// railsSigned cookies are base64(envelope)--hex HMAC, percent-encoded: the session_id of
// Rails 8's generator.
type railsSigned struct {
	keys KeyRing
	hash func() hash.Hash
}

func newRailsSigned(o decodeOptions) (decoder, error) {
	h, err := digestOr("digest", o.digest, "sha1")
	if err != nil {
		return nil, err
	}
	keys, err := railsKeys(o, "signed cookie", 64)
	return railsSigned{keys: keys, hash: h}, err
}

func (r railsSigned) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	body, signature, ok := cutLast(value, "--")
	if !ok {
		return decoded{}, refuse(Malformed, "it has no signature")
	}
	if err := r.keys.verify(r.hash, hex.EncodeToString, signature, body); err != nil {
		return decoded{}, err
	}
	text, err := unbase64(stdBase64, body)
	if err != nil {
		return decoded{}, err
	}
	message, expires, err := railsEnvelope(text, c.name)
	if err != nil {
		return decoded{}, err
	}
	return railsValue(message, expires)
}

func railsValue(message any, expires time.Time) (decoded, error) {
	out := decoded{expires: expires}
	switch v := message.(type) {
	case string:
		out.key = []byte(v)
	case json.Number:
		out.key = []byte(v)
	case map[string]any:
		out.payload = v
	default:
		return decoded{}, refuse(Malformed, "the payload is neither a key nor an object")
	}
	return out, nil
}
