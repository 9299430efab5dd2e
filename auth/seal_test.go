package auth

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/securecookie"
)

// The frameworks' side, as the tests need it: make a cookie of any body with any key.
// testdata/vectors say that the decoders read what real frameworks write; with these
// the tests reach what lies behind a right signature.

// sealer makes a cookie. body is what the application put in, in the format of the
// framework; at is when.
type sealer struct {
	seal func(t testing.TB, key, name string, body []byte, at time.Time) cookie
	// body is one that says user 42; others are the look-up key itself.
	body []byte
	// options besides secrets.
	options decodeOptions
	// life is how long a cookie of the sealer is good; zero: as long as the key.
	life time.Duration
	// keys are two secrets; empty: any text does.
	keys [2]string
}

var sealed = time.Unix(1_800_000_000, 0).UTC()

const (
	sealName  = "__Host-session"
	sealKey1  = "first-secret-0123456789-abcdefghijkl"
	sealKey2  = "other-secret-9876543210-lkjihgfedcba"
	sealToken = "DIhEtjMjlVn0ySzk5JzPX3QMd2tPXfnh9gJOUwpg"
)

var objectBody = []byte(`{"user":42,"list":[1,2,{"deep":null}]}`)

var sealers = map[string]sealer{
	"express":      {seal: sealExpress, body: []byte(sealToken)},
	"better-auth":  {seal: sealBetterAuth, body: []byte(sealToken)},
	"keygrip":      {seal: sealKeygrip, body: objectBody},
	"django":       {seal: sealDjango, body: objectBody, life: 14 * 24 * time.Hour},
	"flask":        {seal: sealFlask, body: objectBody, life: 31 * 24 * time.Hour},
	"starlette":    {seal: sealStarlette, body: objectBody, life: 14 * 24 * time.Hour},
	"rails":        {seal: sealRails, body: objectBody, life: time.Hour},
	"rails-signed": {seal: sealRailsSigned, body: []byte("42"), life: time.Hour},
	"laravel":      {seal: sealLaravelCBC, body: []byte(sealToken), keys: [2]string{sealKey1[:32], sealKey2[:32]}},
	"phoenix":      {seal: sealPhoenix, body: termBody, options: decodeOptions{salt: "salt"}},
	"iron":         {seal: sealIron, body: objectBody, life: time.Hour + 60*time.Second},
	"authjs":       {seal: sealAuthJS, body: objectBody, life: time.Hour + 15*time.Second},
	"nextauth":     {seal: sealNextAuth, body: objectBody, life: time.Hour + 15*time.Second},
	"securecookie": {seal: sealSecure, body: gobBody, life: 30 * 24 * time.Hour},
	"supabase":     {seal: sealSupabase, body: objectBody, life: time.Hour + 30*time.Second, options: decodeOptions{algorithms: []string{"HS256"}}},
	"jwt":          {seal: sealJWT, body: objectBody, life: time.Hour + 30*time.Second, options: decodeOptions{algorithms: []string{"HS256"}}},
}

// variants are sealers of the same kinds in other forms.
var variants = map[string]sealer{
	"laravel GCM":        {seal: sealLaravelGCM, body: []byte(sealToken), keys: [2]string{sealKey1[:32], sealKey2[:32]}},
	"phoenix remember":   {seal: sealPhoenixNamed, body: []byte(sealToken), options: decodeOptions{salt: "salt"}, life: time.Hour},
	"django packed":      {seal: sealDjangoPacked, body: objectBody, life: 14 * 24 * time.Hour},
	"rails data":         {seal: sealRailsData, body: objectBody, life: time.Hour},
	"securecookie JSON":  {seal: sealSecure, body: objectBody, life: 30 * 24 * time.Hour},
	"supabase base64":    {seal: sealSupabaseBase64, body: objectBody, life: time.Hour + 30*time.Second, options: decodeOptions{algorithms: []string{"HS256"}}},
	"keygrip sha256":     {seal: sealKeygrip256, body: objectBody, options: decodeOptions{digest: "sha256"}},
	"express odd id":     {seal: sealExpress, body: []byte("a.b/c+d=%25é")},
	"rails-signed text":  {seal: sealRailsSigned, body: []byte(`"a-key"`), life: time.Hour},
	"rails-signed sha2":  {seal: sealRailsSigned256, body: []byte(`7`), life: time.Hour, options: decodeOptions{digest: "sha256", kdf: "sha1"}},
	"phoenix packed":     {seal: sealPhoenixPacked, body: termBody, options: decodeOptions{salt: "salt"}},
	"keygrip plain id":   {seal: sealKeygripPlain, body: []byte("plain-id")},
	"flask packed":       {seal: sealFlaskPacked, body: objectBody, life: 31 * 24 * time.Hour},
	"flask other maxage": {seal: sealFlask, body: objectBody, life: time.Minute, options: decodeOptions{maxAge: time.Minute}},
}

// kindOf is the kind that a variant is read by.
func kindOf(name string) string { kind, _, _ := strings.Cut(name, " "); return kind }

// allSealers are sealers and variants together.
func allSealers() map[string]sealer {
	all := map[string]sealer{}
	for name, s := range sealers {
		all[name] = s
	}
	for name, s := range variants {
		all[name] = s
	}
	return all
}

func (s sealer) key(i int) string {
	if s.keys[i] != "" {
		return s.keys[i]
	}
	return [2]string{sealKey1, sealKey2}[i]
}

func (s sealer) decoder(t testing.TB, name string, keys ...string) decoder {
	t.Helper()
	o := s.options
	o.secrets = ringOf(keys...)
	d, err := newDecoder(kindOf(name), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func b64std(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func sealExpress(_ testing.TB, key, name string, body []byte, _ time.Time) cookie {
	id := string(body)
	sum := base64.RawStdEncoding.EncodeToString(macOf(sha256.New, []byte(key), id))
	return cookie{name: name, value: url.QueryEscape("s:" + id + "." + sum)}
}

func sealBetterAuth(_ testing.TB, key, name string, body []byte, _ time.Time) cookie {
	token := string(body)
	return cookie{name: name, value: url.QueryEscape(token + "." + b64std(macOf(sha256.New, []byte(key), token)))}
}

func sealKeygrip(_ testing.TB, key, name string, body []byte, _ time.Time) cookie {
	return keygripCookie(sha1.New, key, name, b64std(body))
}

func sealKeygrip256(_ testing.TB, key, name string, body []byte, _ time.Time) cookie {
	return keygripCookie(sha256.New, key, name, b64std(body))
}

func sealKeygripPlain(_ testing.TB, key, name string, body []byte, _ time.Time) cookie {
	return keygripCookie(sha1.New, key, name, string(body))
}

func keygripCookie(h func() hash.Hash, key, name, value string) cookie {
	return cookie{name: name, value: value, signature: b64url(macOf(h, []byte(key), name+"="+value))}
}

func pack(body []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

func sealDjango(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	return djangoCookie(key, name, djangoCookieSalt, b64url(body), at)
}

func sealDjangoPacked(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	return djangoCookie(key, name, djangoCookieSalt, "."+b64url(pack(body)), at)
}

func djangoCookie(key, name, salt, body string, at time.Time) cookie {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	stamp := ""
	for n := at.Unix(); n > 0; n /= 62 {
		stamp = digits[n%62:n%62+1] + stamp
	}
	derived := sha256.Sum256([]byte(salt + "signer" + key))
	signed := body + ":" + stamp
	return cookie{name: name, value: signed + ":" + b64url(macOf(sha256.New, derived[:], signed))}
}

func dangerousCookie(derived []byte, name, body string, at time.Time) cookie {
	stamp := binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))
	signed := body + "." + b64url(stamp)
	return cookie{name: name, value: signed + "." + b64url(macOf(sha1.New, derived, signed))}
}

func sealFlask(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	return dangerousCookie(macOf(sha1.New, []byte(key), "cookie-session"), name, b64url(body), at)
}

func sealFlaskPacked(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	return dangerousCookie(macOf(sha1.New, []byte(key), "cookie-session"), name, "."+b64url(pack(body)), at)
}

func sealStarlette(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	derived := sha1.Sum([]byte("itsdangerous.Signersigner" + key))
	return dangerousCookie(derived[:], name, b64std(body), at)
}

func mustKey(t testing.TB) func(key []byte, err error) []byte {
	return func(key []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}

func railsEnvelopeOf(t testing.TB, field, name string, value any, at time.Time) []byte {
	t.Helper()
	envelope := map[string]any{field: value, "exp": at.Add(time.Hour).Format("2006-01-02T15:04:05.000Z"), "pur": "cookie." + name}
	out, err := json.Marshal(map[string]any{"_rails": envelope})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sealRails(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	return railsCookie(t, key, name, railsEnvelopeOf(t, "message", name, b64std(body), at))
}

func sealRailsData(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	if !json.Valid(body) {
		body = []byte("null")
	}
	return railsCookie(t, key, name, railsEnvelopeOf(t, "data", name, json.RawMessage(body), at))
}

func railsCookie(t testing.TB, key, name string, text []byte) cookie {
	derived := mustKey(t)(pbkdf2.Key(sha256.New, key, []byte("authenticated encrypted cookie"), 1000, 32))
	iv, ciphertext, tag := sealGCM(t, derived, text)
	return cookie{name: name, value: url.QueryEscape(b64std(ciphertext) + "--" + b64std(iv) + "--" + b64std(tag))}
}

// sealGCM: the IV is always the same, which only tests may do.
func sealGCM(t testing.TB, key, text []byte) (iv, ciphertext, tag []byte) {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv = []byte("twelve-bytes")
	out := aead.Seal(nil, iv, text, nil)
	return iv, out[:len(text)], out[len(text):]
}

func sealRailsSigned(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	return railsSignedCookie(t, sha256.New, sha1.New, key, name, body, at)
}

func sealRailsSigned256(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	return railsSignedCookie(t, sha1.New, sha256.New, key, name, body, at)
}

func railsSignedCookie(t testing.TB, kdf, digest func() hash.Hash, key, name string, body []byte, at time.Time) cookie {
	derived := mustKey(t)(pbkdf2.Key(kdf, key, []byte("signed cookie"), 1000, 64))
	text := b64std(railsEnvelopeOf(t, "message", name, b64std(body), at))
	return cookie{name: name, value: url.QueryEscape(text + "--" + hex.EncodeToString(macOf(digest, derived, text)))}
}

func sealCBC(t testing.TB, key, text []byte) (iv, ciphertext []byte) {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize
	text = append(bytes.Clone(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	iv = []byte("sixteen-bytes-iv")
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	return iv, text
}

func laravelText(key, name string, body []byte) []byte {
	return append([]byte(hex.EncodeToString(macOf(sha1.New, []byte(key), name+"v2"))+"|"), body...)
}

func laravelCookie(name, iv, value, mac, tag string) cookie {
	text, _ := json.Marshal(map[string]string{"iv": iv, "value": value, "mac": mac, "tag": tag})
	return cookie{name: name, value: url.QueryEscape(b64std(text))}
}

func sealLaravelCBC(t testing.TB, key, name string, body []byte, _ time.Time) cookie {
	iv, ciphertext := sealCBC(t, []byte(key), laravelText(key, name, body))
	mac := hex.EncodeToString(macOf(sha256.New, []byte(key), b64std(iv), b64std(ciphertext)))
	return laravelCookie(name, b64std(iv), b64std(ciphertext), mac, "")
}

func sealLaravelGCM(t testing.TB, key, name string, body []byte, _ time.Time) cookie {
	iv, ciphertext, tag := sealGCM(t, []byte(key), laravelText(key, name, body))
	return laravelCookie(name, b64std(iv), b64std(ciphertext), "", b64std(tag))
}

func phoenixCookie(t testing.TB, key, salt, name string, term []byte) cookie {
	derived := mustKey(t)(pbkdf2.Key(sha256.New, key, []byte(salt), 1000, 32))
	signed := "SFMyNTY." + b64url(term)
	return cookie{name: name, value: signed + "." + b64url(macOf(sha256.New, derived, signed))}
}

func sealPhoenix(t testing.TB, key, name string, body []byte, _ time.Time) cookie {
	return phoenixCookie(t, key, "salt", name, body)
}

func sealPhoenixPacked(t testing.TB, key, name string, body []byte, _ time.Time) cookie {
	term := []byte{termVersion, termCompressed}
	term = binary.BigEndian.AppendUint32(term, uint32(max(len(body), 1)-1))
	return phoenixCookie(t, key, "salt", name, append(term, pack(body[min(len(body), 1):])...))
}

func sealPhoenixNamed(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	term := []byte{termVersion, termSmallTuple, 3, termBinary}
	term = binary.BigEndian.AppendUint32(term, uint32(len(body)))
	term = append(append(term, body...), termSmallBig, 6, 0)
	ms := at.UnixMilli()
	for range 6 {
		term = append(term, byte(ms))
		ms >>= 8
	}
	term = binary.BigEndian.AppendUint32(append(term, termInt), 3600)
	return phoenixCookie(t, key, name+"_cookie", name, term)
}

func sealIron(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	derive := func(salt string) []byte { return mustKey(t)(pbkdf2.Key(sha1.New, key, []byte(salt), 1, 32)) }
	iv, ciphertext := sealCBC(t, derive("aa"), body)
	signed := fmt.Sprintf("Fe26.2*1*aa*%s*%s*%d", b64url(iv), b64url(ciphertext), at.Add(time.Hour).UnixMilli())
	return cookie{name: name, value: signed + "*bb*" + b64url(macOf(sha256.New, derive("bb"), signed)) + "~2"}
}

// claimsOf adds a lifetime to an object; other bodies stay as they are.
func claimsOf(body []byte, at time.Time) []byte {
	claims, err := parseObject(body)
	if err != nil {
		return body
	}
	claims["iat"], claims["exp"] = at.Unix(), at.Add(time.Hour).Unix()
	out, err := json.Marshal(claims)
	if err != nil {
		return body
	}
	return out
}

func sealAuthJS(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	return rawAuthJS(t, key, name, claimsOf(body, at))
}

// rawAuthJS adds no lifetime to the claims.
func rawAuthJS(t testing.TB, key, name string, claims []byte) cookie {
	derived := mustKey(t)(hkdf.Key(sha256.New, []byte(key), []byte(name), "Auth.js Generated Encryption Key ("+name+")", 64))
	return joseCookie(t, jose.A256CBC_HS512, derived, name, claims)
}

func sealNextAuth(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	return rawNextAuth(t, key, name, claimsOf(body, at))
}

func rawNextAuth(t testing.TB, key, name string, claims []byte) cookie {
	derived := mustKey(t)(hkdf.Key(sha256.New, []byte(key), nil, "NextAuth.js Generated Encryption Key", 32))
	return joseCookie(t, jose.A256GCM, derived, name, claims)
}

func joseCookie(t testing.TB, enc jose.ContentEncryption, key []byte, name string, text []byte) cookie {
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Encrypt(text)
	if err != nil {
		t.Fatal(err)
	}
	value, err := out.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return cookie{name: name, value: value}
}

func sealJWT(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	text := b64url([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64url(claimsOf(body, at))
	return cookie{name: name, value: text + "." + b64url(macOf(sha256.New, []byte(key), text))}
}

func sealSupabase(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	text, _ := json.Marshal(map[string]string{"access_token": sealJWT(t, key, name, body, at).value})
	return cookie{name: name, value: url.PathEscape(string(text))}
}

func sealSupabaseBase64(t testing.TB, key, name string, body []byte, at time.Time) cookie {
	text, _ := json.Marshal([]string{sealJWT(t, key, name, body, at).value, "refresh"})
	return cookie{name: name, value: "base64-" + b64url(text)}
}

// sealSecure writes the outer form itself: the library's clock cannot be set.
func sealSecure(_ testing.TB, key, name string, body []byte, at time.Time) cookie {
	signed := fmt.Sprintf("%d|%s|", at.Unix(), base64.URLEncoding.EncodeToString(body))
	mac := macOf(sha256.New, []byte(key), name+"|"+strings.TrimSuffix(signed, "|"))
	return cookie{name: name, value: base64.URLEncoding.EncodeToString(append([]byte(signed), mac...))}
}

// termBody is %{"user" => 42, token: <<255, 0>>}.
var termBody = []byte{termVersion, termMap, 0, 0, 0, 2,
	termBinary, 0, 0, 0, 4, 'u', 's', 'e', 'r', termSmallInt, 42,
	termAtom, 0, 5, 't', 'o', 'k', 'e', 'n', termBinary, 0, 0, 0, 2, 255, 0}

var gobBody = mustGob(map[any]any{"user": 42, "org": "o7", 7: 1.5, "raw": []byte{255}, "nothing": true})

func mustGob(v any) []byte {
	out, err := securecookie.GobEncoder{}.Serialize(v)
	if err != nil {
		panic(err)
	}
	return out
}
