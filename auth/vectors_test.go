package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is one file of testdata/vectors: cookies of a real framework.
type vector struct {
	Name         string                     `json:"vector"`
	MadeAt       time.Time                  `json:"made_at"`
	Secrets      map[string]json.RawMessage `json:"secrets"`
	CookieName   string                     `json:"cookie_name"`
	CookieHeader string                     `json:"cookie_header"`
	Decode       struct {
		Format string `json:"format"`
		Result any    `json:"result"`
		Base64 string `json:"result_b64"`
	} `json:"decode"`
	LookupKey any `json:"lookup_key"`
	Expected  struct {
		Payload map[string]any `json:"payload"`
		Subset  map[string]any `json:"access_token_claims_subset"`
	} `json:"expected"`
	AlsoValid  []example `json:"also_valid"`
	Chunked    *example  `json:"chunked"`
	Negative   []example `json:"negative"`
	DataDecode struct {
		Format string         `json:"format"`
		Result map[string]any `json:"result"`
	} `json:"data_decode"`
	NegativeData []struct {
		Why  string `json:"why"`
		Data string `json:"session_data"`
	} `json:"negative_data"`
	AuthHash struct {
		Expected string `json:"expected"`
	} `json:"auth_hash"`
	Rows map[string][]map[string]any `json:"rows"`
}

type example struct {
	Why          string         `json:"why"`
	CookieHeader string         `json:"cookie_header"`
	Payload      map[string]any `json:"payload"`
	ValidUntil   int64          `json:"valid_until_ms"`
}

// loadJSON reads a vector with numbers as they are written.
func loadJSON(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func loadVector(t testing.TB, name string) vector {
	t.Helper()
	var v vector
	loadJSON(t, name, &v)
	return v
}

// ring is the secret of a vector: a text or a list of them.
func (v vector) ring(t testing.TB, name string) KeyRing {
	t.Helper()
	var one string
	var many []string
	if json.Unmarshal(v.Secrets[name], &one) != nil {
		if err := json.Unmarshal(v.Secrets[name], &many); err != nil {
			t.Fatalf("secret %s of %s: %v", name, v.Name, err)
		}
		return ringOf(many...)
	}
	return ringOf(one)
}

func ringOf(keys ...string) KeyRing {
	var ring KeyRing
	for _, key := range keys {
		ring = append(ring, NewSecret([]byte(key)))
	}
	return ring
}

// setting is how walrelay is configured for a vector.
type setting struct {
	kind    string
	options func(t testing.TB, v vector) decodeOptions
	from    string
	hash    string
	// refused is the reason for each negative, by its "why".
	refused map[string]Reason
	// later are negatives that are no business of a decoder, with the reason why.
	later map[string]string
}

func secretsOf(name string) func(testing.TB, vector) decodeOptions {
	return func(t testing.TB, v vector) decodeOptions { return decodeOptions{secrets: v.ring(t, name)} }
}

func none(testing.TB, vector) decodeOptions { return decodeOptions{} }

const needsRow = "a decoder cannot know it: the row is missing in the store"

var settings = map[string]setting{
	"authjs-database": {kind: "plain", options: none, later: map[string]string{"unknown token": needsRow}},
	"authjs-v5-jwe": {kind: "authjs", options: secretsOf("secret"), refused: map[string]Reason{
		"expired": Expired, "tampered": BadSignature, "same value under another cookie name (salt mismatch)": BadSignature,
	}},
	"better-auth": {kind: "better-auth", options: secretsOf("secret"), refused: map[string]Reason{
		"tampered token": BadSignature, "unsigned": Malformed, "session row token from a DB leak with a wrong secret": BadSignature,
	}},
	"cookie-session": {kind: "keygrip", options: secretsOf("keys"), refused: map[string]Reason{
		"no .sig cookie": Malformed, "payload altered": BadSignature, "sig of another name": BadSignature,
	}},
	"django-db": {kind: "plain", options: none, later: map[string]string{"unknown key": needsRow}},
	"django-signed-cookies": {kind: "django", options: secretsOf("SECRET_KEY"), refused: map[string]Reason{
		"tampered": BadSignature, "right key, wrong salt (a value signed for another purpose)": BadSignature,
	}},
	"express-session-passport": {kind: "express", options: secretsOf("secret"), refused: map[string]Reason{
		"bit flipped in the sid": BadSignature, "signature by another secret": BadSignature, "signature truncated": BadSignature,
		"no s: prefix (unsigned value must be refused)":              Malformed,
		"j: prefix (JSON cookie, other type) with a right signature": Malformed,
		"unsigned sid only": Malformed, "empty": Malformed,
	}},
	"flask-cookie": {kind: "flask", options: secretsOf("SECRET_KEY"), refused: map[string]Reason{
		"tampered": BadSignature, "other secret": BadSignature, "right secret, other salt": BadSignature,
		"older than permanent_session_lifetime (31 days)": Expired,
	}},
	"gorilla-cookiestore-encrypted": {kind: "securecookie", options: gorilla, refused: map[string]Reason{"tampered": BadSignature}},
	"gorilla-cookiestore-signed":    {kind: "securecookie", options: gorilla, refused: map[string]Reason{"tampered": BadSignature}},
	"iron-session": {kind: "iron", options: ironRing, refused: map[string]Reason{
		"tampered ciphertext": BadSignature, "expiry moved, HMAC unchanged": BadSignature, "unknown password id": BadSignature,
		"expired (ttl 1 s)": Expired,
	}},
	"laravel-database": {kind: "laravel", options: secretsOf("APP_KEY"), refused: map[string]Reason{
		"ciphertext altered": BadSignature, "prefix of another cookie": WrongPurpose, "no prefix": WrongPurpose, "other APP_KEY": BadSignature,
		"plain session id": Malformed, "empty mac": BadSignature, "no mac": BadSignature,
		"one byte of the part that holds the id altered (name prefix still right): only the MAC/tag can refuse it": BadSignature,
	}},
	"lucia-sha256":    {kind: "plain", options: none, hash: "sha256-hex", later: map[string]string{"row id used as cookie (stolen DB row)": "TestStolenRowsAreNoCookies: hashed again it is another key"}},
	"nextauth-v4-jwe": {kind: "nextauth", options: secretsOf("secret"), refused: map[string]Reason{"tampered": BadSignature}},
	"phoenix-gen-auth": {kind: "phoenix", from: "user_token", options: phoenixOptions, refused: map[string]Reason{
		"other salt": BadSignature, "tampered": BadSignature, "remember-me older than its max_age": Expired,
	}},
	"rails-activerecord-session-store": {kind: "plain", options: none, hash: "rack", refused: map[string]Reason{"private id used as the cookie": Malformed}},
	"rails-encrypted-cookie-sha256": {kind: "rails", options: secretsOf("secret_key_base"), refused: map[string]Reason{
		"tampered": BadSignature, "purpose of another cookie": WrongPurpose, "expired inside the message": Expired, "tag cut to 4 bytes": Malformed,
	}},
	"rails8-signed-session-id": {kind: "rails-signed", options: secretsOf("secret_key_base"), refused: map[string]Reason{
		"tampered": BadSignature, "purpose of another cookie": WrongPurpose, "payload of another session with this signature": BadSignature,
		"plain id": Malformed,
	}},
	"scs-postgresstore": {kind: "plain", options: none, later: map[string]string{"unknown token": needsRow}},
	"starlette-cookie":  {kind: "starlette", options: secretsOf("secret_key"), refused: map[string]Reason{"tampered": BadSignature, "other secret": BadSignature}},
	"supabase-ssr":      {kind: "supabase", options: supabaseOptions, from: "session_id", refused: map[string]Reason{"chunk 0 missing": Malformed}},
}

// elsewhere are vectors with another shape, and the test that reads them.
var elsewhere = map[string]string{"jwt-set": "TestTokenVectors"}

func gorilla(t testing.TB, v vector) decodeOptions {
	o := decodeOptions{secrets: v.ring(t, "hash_key"), encoding: "hex"}
	if _, ok := v.Secrets["block_key"]; ok {
		o.encryption = v.ring(t, "block_key")
	}
	return o
}

func ironRing(t testing.TB, v vector) decodeOptions {
	var byID map[string]string
	if err := json.Unmarshal(v.Secrets["password"], &byID); err != nil {
		t.Fatal(err)
	}
	return decodeOptions{secrets: ringOf(byID["2"], byID["1"])}
}

func phoenixOptions(t testing.TB, v vector) decodeOptions {
	return decodeOptions{secrets: v.ring(t, "secret_key_base"), salt: "k3ySalt1"}
}

func supabaseOptions(t testing.TB, v vector) decodeOptions {
	return decodeOptions{secrets: v.ring(t, "jwt_secret"), algorithms: []string{"HS256"}, audience: []string{"authenticated"}}
}

// nameIn is the cookie's name in a header: the vector's, or another one that it is about.
func (v vector) nameIn(header string) string {
	j, _ := parseCookies([]string{header})
	if len(j) == 0 || j.present(v.CookieName, kinds["authjs"]) {
		return v.CookieName
	}
	return j[0].name
}

func (s setting) decoder(t testing.TB, v vector) decoder {
	t.Helper()
	d, err := newDecoder(s.kind, s.options(t, v))
	if err != nil {
		t.Fatalf("newDecoder(%s): %v", s.kind, err)
	}
	return d
}

// decodeHeader does what a request does, up to the store.
func (s setting) decodeHeader(t testing.TB, v vector, header string, now time.Time) (decoded, []byte, error) {
	t.Helper()
	return s.decodeWith(t, s.decoder(t, v), v, header, now)
}

func (s setting) decodeWith(t testing.TB, d decoder, v vector, header string, now time.Time) (decoded, []byte, error) {
	t.Helper()
	j, err := parseCookies([]string{header})
	if err != nil {
		return decoded{}, nil, err
	}
	candidates, err := j.candidates(v.nameIn(header), kinds[s.kind])
	if err != nil {
		return decoded{}, nil, err
	}
	if len(candidates) != 1 {
		t.Fatalf("%d candidates in the header, want 1", len(candidates))
	}
	out, err := d.decode(candidates[0], now)
	if err != nil {
		return decoded{}, nil, err
	}
	key, err := s.storeKey(t, out)
	return out, key, err
}

func (s setting) storeKey(t testing.TB, d decoded) ([]byte, error) {
	t.Helper()
	if s.from == "" && d.key == nil {
		return nil, nil
	}
	from := s.from
	if d.key != nil {
		from = ""
	}
	key, err := d.storeKey(from)
	if err != nil {
		return nil, err
	}
	hash, err := newStoreHash(s.hash)
	if err != nil {
		t.Fatal(err)
	}
	return hash(key)
}

// wantKey is the key that the vector says is looked up; nil when there is no store.
func (v vector) wantKey(t testing.TB) []byte {
	t.Helper()
	switch {
	case v.Decode.Base64 != "":
		key, err := base64.StdEncoding.DecodeString(v.Decode.Base64)
		if err != nil {
			t.Fatal(err)
		}
		if stored := v.LookupKey.(string); stored != `\x`+hex.EncodeToString(key) {
			t.Fatalf("the vector contradicts itself: %s", stored)
		}
		return key
	case v.LookupKey == nil:
		return nil
	}
	text, _ := textOf(v.LookupKey)
	return []byte(text)
}

func TestEveryVectorHasASetting(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) != 22 {
		t.Fatalf("%d vectors, %v; want 22", len(files), err)
	}
	used := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		s, ok := settings[name]
		if _, other := elsewhere[name]; ok == other {
			t.Errorf("%s is read by no test, or by two", name)
		}
		used[s.kind] = true
	}
	for name := range kinds {
		if !used[name] && name != "jwt" {
			t.Errorf("kind %s has no vector", name)
		}
	}
}

func TestVectorsValid(t *testing.T) {
	t.Parallel()
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadVector(t, name)
			d, key, err := s.decodeHeader(t, v, v.CookieHeader, v.MadeAt)
			if err != nil {
				t.Fatal(err)
			}
			if want := v.wantKey(t); want != nil && !bytes.Equal(key, want) {
				t.Errorf("look-up key %q, want %q", key, want)
			}
			if text, ok := textOf(v.Decode.Result); ok && string(d.key) != text {
				t.Errorf("decoded key %q, want %q", d.key, text)
			}
			if v.wantKey(t) == nil && v.Expected.Payload == nil && v.Expected.Subset == nil {
				t.Error("the vector says nothing to compare with")
			}
			comparePayload(t, d, v.Expected.Payload, v.Expected.Subset)
			v.checkOthers(t, s, d)
		})
	}
}

func comparePayload(t *testing.T, d decoded, whole, subset map[string]any) {
	t.Helper()
	if whole != nil {
		if diff := cmp.Diff(whole, d.payload); diff != "" {
			t.Errorf("payload (-want +got):\n%s", diff)
		}
	}
	for name, want := range subset {
		if diff := cmp.Diff(want, d.payload[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// checkOthers decodes also_valid and chunked: they mean the same, unless they say what else.
func (v vector) checkOthers(t *testing.T, s setting, first decoded) {
	t.Helper()
	others := v.AlsoValid
	if v.Chunked != nil {
		others = append(others, *v.Chunked)
	}
	for _, other := range others {
		d, key, err := s.decodeHeader(t, v, other.CookieHeader, v.MadeAt)
		if err != nil {
			t.Errorf("%s: %v", other.Why, err)
			continue
		}
		if want := v.wantKey(t); want != nil && !bytes.Equal(key, want) {
			t.Errorf("%s: look-up key %x, want %x", other.Why, key, want)
		}
		switch {
		case other.Payload != nil:
			comparePayload(t, d, other.Payload, nil)
		case s.from == "":
			// Sealed at another time: what the application put in is the same.
			ignore := cmp.FilterPath(func(p cmp.Path) bool {
				return strings.Contains(`["jti"] ["iat"] ["exp"]`, p.Last().String())
			}, cmp.Ignore())
			if diff := cmp.Diff(first.payload, d.payload, ignore); diff != "" {
				t.Errorf("%s: payload (-first +this):\n%s", other.Why, diff)
			}
		}
	}
}

func TestVectorsNegative(t *testing.T) {
	t.Parallel()
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadVector(t, name)
			if len(v.Negative) == 0 {
				t.Fatal("the vector has no negatives")
			}
			for _, negative := range v.Negative {
				s.checkNegative(t, v, negative)
			}
			if got, want := len(v.Negative), len(s.refused)+len(s.later); got != want {
				t.Errorf("%d negatives, %d expected", got, want)
			}
		})
	}
}

func (s setting) checkNegative(t *testing.T, v vector, negative example) {
	t.Helper()
	now := v.MadeAt
	if negative.ValidUntil > 0 {
		now = time.UnixMilli(negative.ValidUntil)
	}
	_, _, err := s.decodeHeader(t, v, negative.CookieHeader, now)
	if why, ok := s.later[negative.Why]; ok {
		if err != nil {
			t.Errorf("%s: left for later (%s), but refused already: %v", negative.Why, why, err)
		}
		return
	}
	want, ok := s.refused[negative.Why]
	if !ok {
		t.Errorf("negative %q is not in the table", negative.Why)
	}
	if err == nil {
		t.Errorf("%s: accepted", negative.Why)
		return
	}
	if reason, _ := ReasonOf(err); reason != want {
		t.Errorf("%s: %v, want %s", negative.Why, err, want)
	}
	j, _ := parseCookies([]string{negative.CookieHeader})
	for _, c := range j {
		checkSilent(t, err, c.value)
	}
}

// checkSilent looks for any eight bytes of what was received in an error.
func checkSilent(t testing.TB, err error, received string) {
	t.Helper()
	text := err.Error()
	for i := 0; i+8 <= len(received); i++ {
		if strings.Contains(text, received[i:i+8]) {
			t.Fatalf("the error %q quotes the cookie", text)
		}
	}
}

func TestStolenRowsAreNoCookies(t *testing.T) {
	t.Parallel()
	v := loadVector(t, "lucia-sha256")
	s := settings[v.Name]
	_, key, err := s.decodeHeader(t, v, v.Negative[0].CookieHeader, v.MadeAt)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(key, v.wantKey(t)) {
		t.Error("the id of a row opens its session")
	}
}

func TestStorePayloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ vector, format, secret, table, column string }{
		{"django-db", "django", "SECRET_KEY", "django_session", "session_data"},
		{"django-db", "django-unverified", "", "django_session", "session_data"},
		{"scs-postgresstore", "scs", "", "sessions", "data"},
	} {
		t.Run(c.format, func(t *testing.T) {
			t.Parallel()
			v := loadVector(t, c.vector)
			var o decodeOptions
			if c.secret != "" {
				o.secrets = v.ring(t, c.secret)
			}
			d, err := newPayloadDecoder(c.format, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.decodePayload(v.CookieName, columnBytes(t, v.Rows[c.table][0][c.column].(string)), v.MadeAt)
			if err != nil {
				t.Fatal(err)
			}
			comparePayload(t, got, v.DataDecode.Result, nil)
			for _, negative := range v.NegativeData {
				_, err := d.decodePayload(v.CookieName, []byte(negative.Data), v.MadeAt)
				if reason, _ := ReasonOf(err); c.secret != "" && reason != BadSignature {
					t.Errorf("%s: %v, want %s", negative.Why, err, BadSignature)
				}
			}
		})
	}
}

// columnBytes is a column's value: bytea is written in hex.
func columnBytes(t testing.TB, text string) []byte {
	t.Helper()
	if digits, ok := strings.CutPrefix(text, `\x`); ok {
		data, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return []byte(text)
}

// TestStorePayloadJSON reads the jsonb columns of the vectors.
func TestStorePayloadJSON(t *testing.T) {
	t.Parallel()
	d, err := newPayloadDecoder("json", decodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v := loadVector(t, "express-session-passport")
	data, err := json.Marshal(v.Rows["session"][0]["sess"])
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.decodePayload(v.CookieName, data, v.MadeAt)
	if err != nil {
		t.Fatal(err)
	}
	user, ok := at(got.payload, "passport.user")
	if text, _ := textOf(user); !ok || text != "42" {
		t.Errorf("passport.user = %v", user)
	}
}
