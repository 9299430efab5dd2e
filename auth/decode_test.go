package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryKindHasASealer(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		if _, ok := sealers[name]; !ok && k.secret != "" {
			t.Errorf("kind %s has no sealer: keys, tampering and expiry of it are not tested", name)
		}
	}
}

// saysUser reports whether what was decoded is what the sealer's body said.
func (s sealer) saysUser(d decoded) bool {
	if d.payload == nil {
		return string(d.key) == string(s.body) || string(d.key) == strings.Trim(string(s.body), `"`)
	}
	user, _ := at(d.payload, "user")
	return user == json.Number("42")
}

func TestKeyRings(t *testing.T) {
	t.Parallel()
	for name, s := range allSealers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := s.seal(t, s.key(0), sealName, s.body, sealed)
			second := s.seal(t, s.key(1), sealName, s.body, sealed)
			both := s.decoder(t, name, s.key(0), s.key(1))
			for which, c := range map[string]cookie{"current": first, "old": second} {
				if d, err := both.decode(c, sealed); err != nil || !s.saysUser(d) {
					t.Errorf("sealed with the %s key: %+v, %v", which, d, err)
				}
			}
			if d, err := s.decoder(t, name, s.key(0)).decode(second, sealed); !refusedAs(err, BadSignature) {
				t.Errorf("sealed with a key that has left the ring: %+v, %v", d, err)
			}
		})
	}
}

// TestCookieNames: where the name is in the MAC, a cookie opens under its own only.
func TestCookieNames(t *testing.T) {
	t.Parallel()
	bound := map[string]Reason{
		"keygrip": BadSignature, "rails": WrongPurpose, "rails data": WrongPurpose, "rails-signed": WrongPurpose,
		"laravel": WrongPurpose, "laravel GCM": WrongPurpose, "authjs": BadSignature, "securecookie": BadSignature,
		"phoenix remember": BadSignature,
	}
	for name, want := range bound {
		s := allSealers()[name]
		c := s.seal(t, s.key(0), sealName, s.body, sealed)
		for _, other := range []string{"session", "__Secure-session", "__Host-Session", "__host-session", ""} {
			c.name = other
			if d, err := s.decoder(t, name, s.key(0)).decode(c, sealed); !refusedAs(err, want) {
				t.Errorf("%s made for %s opens as %q: %+v, %v; want %s", name, sealName, other, d, err, want)
			}
		}
	}
}

// opened seals a cookie and opens it, with the kind's own decoder.
func (s sealer) opened(t *testing.T, name string) (decoder, cookie, decoded) {
	t.Helper()
	d, c := s.decoder(t, name, s.key(0)), s.seal(t, s.key(0), sealName, s.body, sealed)
	out, err := d.decode(c, sealed)
	if err != nil {
		t.Fatal(err)
	}
	return d, c, out
}

// TestExpiry: what decoded.expires says is the first instant at which the decoder refuses.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, s := range allSealers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c, out := s.opened(t, name)
			if s.life == 0 {
				if !out.expires.IsZero() {
					t.Errorf("expires %v, want never", out.expires)
				}
				return
			}
			if want := sealed.Add(s.life); !out.expires.Equal(want) {
				t.Errorf("expires %v, want %v", out.expires, want)
			}
			if _, err := d.decode(c, out.expires.Add(-1)); err != nil {
				t.Errorf("a nanosecond before: %v", err)
			}
			if got, err := d.decode(c, out.expires); !refusedAs(err, Expired) || got.key != nil || got.payload != nil {
				t.Errorf("at its end: %+v, %v; want nothing and %s", got, err, Expired)
			}
		})
	}
}

// TestTampering changes, drops and doubles every byte: the cookie is refused or says
// just the same.
func TestTampering(t *testing.T) {
	t.Parallel()
	for name, s := range allSealers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c, want := s.opened(t, name)
			refused := 0
			for _, changed := range tamper(c) {
				got, err := d.decode(changed, sealed)
				if err != nil {
					refused++
					checkReason(t, err)
				} else if diff := cmp.Diff(want, got, cmp.AllowUnexported(decoded{})); diff != "" {
					t.Fatalf("%q instead of %q says something else:\n%s", changed.value, c.value, diff)
				}
			}
			if refused == 0 {
				t.Error("no change was refused")
			}
		})
	}
}

func tamper(c cookie) []cookie {
	var out []cookie
	for i := range len(c.value) {
		for _, b := range []byte{c.value[i] ^ 1, c.value[i] ^ 0x20, 'A', '.', '='} {
			if b != c.value[i] {
				out = append(out, cookie{name: c.name, value: c.value[:i] + string(rune(b)) + c.value[i+1:], signature: c.signature})
			}
		}
		out = append(out, cookie{name: c.name, value: c.value[:i] + c.value[i+1:], signature: c.signature},
			cookie{name: c.name, value: c.value[:i], signature: c.signature},
			cookie{name: c.name, value: c.value[:i] + c.value[i:i+1] + c.value[i:], signature: c.signature})
	}
	for i := range len(c.signature) {
		out = append(out, cookie{name: c.name, value: c.value, signature: c.signature[:i] + "_" + c.signature[i+1:] + "_"},
			cookie{name: c.name, value: c.value, signature: c.signature[:i]})
	}
	return out
}

// reasons are all that a decoder may answer.
var reasons = []Reason{
	Malformed, TooLarge, BadSignature, Expired, NotYetValid, WrongPurpose, WrongAlgorithm, WrongIssuer, WrongAudience, UnknownKey, Unsupported,
}

func checkReason(t testing.TB, err error) {
	t.Helper()
	if reason, ok := ReasonOf(err); !ok || !slices.Contains(reasons, reason) {
		t.Fatalf("%v is no refusal with a known reason", err)
	}
}

// TestVectorTampering does the same with the cookies of real frameworks, one change a byte.
func TestVectorTampering(t *testing.T) {
	t.Parallel()
	for name, s := range settings {
		if s.kind == "plain" {
			continue // any value is a key
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadVector(t, name)
			d := s.decoder(t, v)
			want, _, err := s.decodeWith(t, d, v, v.CookieHeader, v.MadeAt)
			if err != nil {
				t.Fatal(err)
			}
			for i := strings.Index(v.CookieHeader, "=") + 1; i < len(v.CookieHeader); i += 1 + len(v.CookieHeader)/1000 {
				if strings.IndexByte("=; ", v.CookieHeader[i]) >= 0 {
					continue
				}
				changed := v.CookieHeader[:i] + string(rune(v.CookieHeader[i]^1)) + v.CookieHeader[i+1:]
				if v.nameIn(changed) != v.CookieName {
					continue
				}
				j, _ := parseCookies([]string{changed})
				if c, err := j.candidates(v.CookieName, kinds[s.kind]); err != nil || len(c) != 1 {
					continue
				}
				got, _, err := s.decodeWith(t, d, v, changed, v.MadeAt)
				if err == nil && !cmp.Equal(want, got, cmp.AllowUnexported(decoded{})) {
					t.Fatalf("byte %d changed, and it says something else", i)
				}
			}
		})
	}
}

func TestDecoderOptions(t *testing.T) {
	t.Parallel()
	key := ringOf(sealKey1)
	keys := keySet{{}}
	for _, c := range []struct {
		name, kind string
		options    decodeOptions
		want       string
	}{
		{"unknown kind", "rot13", decodeOptions{}, "known: authjs, better-auth, django"},
		{"no secrets", "express", decodeOptions{}, "session({secret})"},
		{"no secrets of Rails", "rails", decodeOptions{}, "secret_key_base"},
		{"option without meaning", "express", decodeOptions{secrets: key, kdf: "sha1"}, "kdf has no meaning here"},
		{"block keys without meaning", "flask", decodeOptions{secrets: key, encryption: key}, "encryption has no meaning here"},
		{"unknown kdf", "rails", decodeOptions{secrets: key, kdf: "md5"}, "kdf is sha1, sha256"},
		{"unknown digest", "rails-signed", decodeOptions{secrets: key, digest: "md5"}, "digest is sha1, sha256"},
		{"unknown digest of keygrip", "keygrip", decodeOptions{secrets: key, digest: "md5"}, "digest is sha1, sha256"},
		{"unknown digest of Flask", "flask", decodeOptions{secrets: key, digest: "md5"}, "digest is sha1, sha256"},
		{"unknown digest of Starlette", "starlette", decodeOptions{secrets: key, digest: "md5"}, "digest is sha1, sha256"},
		{"no salt", "phoenix", decodeOptions{secrets: key}, "signing_salt"},
		{"short password", "iron", decodeOptions{secrets: ringOf("short")}, "shorter than the 32 characters"},
		{"no APP_KEY", "laravel", decodeOptions{secrets: ringOf("0123")}, "is no APP_KEY"},
		{"APP_KEY is not base64", "laravel", decodeOptions{secrets: ringOf("base64:!!")}, "is not base64"},
		{"unknown encoding", "express", decodeOptions{secrets: key, encoding: "rot13"}, "encoding is text, hex or base64"},
		{"not hex", "express", decodeOptions{secrets: key, encoding: "hex"}, "secret 1: is not hex"},
		{"not base64", "express", decodeOptions{secrets: key, encoding: "base64"}, "secret 1: is not base64"},
		{"block key too short", "securecookie", decodeOptions{secrets: key, encryption: ringOf("short")}, "a block key has 16, 24 or 32"},
		{"too few block keys", "securecookie", decodeOptions{secrets: append(key, key...), encryption: key}, "one block key for each secret"},
		{"negative age", "flask", decodeOptions{secrets: key, maxAge: -1}, "max_age is negative"},
		{"no algorithms", "jwt", decodeOptions{secrets: key}, "algorithms are missing"},
		{"alg none", "jwt", decodeOptions{secrets: key, algorithms: []string{"none"}}, "algorithms: known are"},
		{"shared and public", "jwt", decodeOptions{secrets: key, algorithms: []string{"HS256", "RS256"}}, "must not stand in one entry"},
		{"HS with a key set", "jwt", decodeOptions{secrets: key, keys: keys, algorithms: []string{"HS256"}}, "and no jwks"},
		{"HS without secrets", "jwt", decodeOptions{algorithms: []string{"HS256"}}, "HS algorithms need secrets"},
		{"RS with a secret", "jwt", decodeOptions{secrets: key, keys: keys, algorithms: []string{"RS256"}, issuer: "i"}, "and no secrets"},
		{"RS without keys", "supabase", decodeOptions{algorithms: []string{"RS256"}, issuer: "i"}, "need jwks"},
		{"anybody's token", "jwt", decodeOptions{keys: keys, algorithms: []string{"RS256"}}, "issuer or audience"},
	} {
		_, err := newDecoder(c.kind, c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		} else if strings.Contains(err.Error(), sealKey1) {
			t.Errorf("%s: the error shows the secret", c.name)
		}
	}
}

func TestPayloadDecoderOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  string
		options decodeOptions
		want    string
	}{
		{"marshal", decodeOptions{}, "known: django"},
		{"django", decodeOptions{}, "secrets are missing"},
		{"securecookie", decodeOptions{secrets: ringOf("x"), encoding: "hex"}, "is not hex"},
		{"securecookie", decodeOptions{secrets: ringOf("aa"), encryption: ringOf("x"), encoding: "hex"}, "is not hex"},
		{"securecookie", decodeOptions{secrets: ringOf("aa"), encryption: ringOf("bb")}, "16, 24 or 32"},
	} {
		if _, err := newPayloadDecoder(c.format, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.format, err, c.want)
		}
	}
}

// TestForgedBodies: a right signature over what the format does not allow.
func TestForgedBodies(t *testing.T) {
	t.Parallel()
	deep := []byte(`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`)
	many := []byte(`{"a":[` + strings.Repeat("0,", 5000) + `0]}`)
	manyPacked := []byte(`{"a":[` + strings.Repeat("0,", maxValues) + `0]}`)
	for _, c := range []struct {
		name string
		body []byte
		want Reason
	}{
		{"django", deep, TooLarge}, {"django", many, ""}, {"django packed", manyPacked, TooLarge},
		{"django", []byte("[1]"), Malformed}, {"django", []byte(`{} {}`), Malformed}, {"django", []byte("{\"a\":\"\xff\"}"), Malformed},
		{"django packed", bytes.Repeat([]byte(" "), maxInflated+1), TooLarge},
		{"flask packed", bytes.Repeat([]byte(" "), 1<<20), TooLarge},
		{"flask", []byte("null"), Malformed}, {"starlette", []byte("gAR9lC4="), Malformed},
		{"keygrip", []byte(`{"a":`), Malformed},
		{"rails", []byte("\x04\x08{"), Unsupported}, {"rails", []byte(`"text"`), Malformed}, {"rails data", []byte("3"), Malformed},
		{"rails-signed", []byte("null"), Malformed}, {"rails-signed", []byte("true"), Malformed},
		{"laravel", []byte("short"), Malformed}, {"laravel", []byte(sealToken[:39] + "|"), Malformed}, {"laravel GCM", nil, Malformed},
		{"iron", []byte("[]"), Malformed}, {"iron", nil, Malformed},
		{"authjs", []byte("[]"), Malformed}, {"nextauth", []byte("1"), Malformed}, {"jwt", []byte("x"), Malformed},
		{"phoenix", []byte{131, termSmallTuple, 0}, Malformed}, {"phoenix", []byte{130}, Malformed}, {"phoenix", nil, Malformed},
		{"phoenix packed", append([]byte{131}, bytes.Repeat([]byte{termSmallInt}, maxInflated+1)...), TooLarge},
		{"phoenix remember", nil, Malformed},
		{"securecookie", mustGob(3), Malformed}, {"securecookie JSON", []byte("3"), Malformed}, {"securecookie", nil, Malformed},
		{"securecookie", mustGob(map[any]any{1: "a", "1": "b"}), Malformed}, {"securecookie", mustGob("an-id"), ""},
		{"express", nil, Malformed}, {"better-auth", nil, Malformed},
	} {
		s := allSealers()[c.name]
		d, err := s.decoder(t, c.name, s.key(0)).decode(s.seal(t, s.key(0), sealName, c.body, sealed), sealed)
		if c.want == "" && err != nil || c.want != "" && !refusedAs(err, c.want) {
			t.Errorf("%s of %d bytes %.40q: %+v, %v; want %s", c.name, len(c.body), c.body, d, err, c.want)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	d, err := newDecoder("plain", decodeOptions{secrets: ringOf("for the payload")})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]Reason{
		"": Malformed, strings.Repeat("a", maxCookie+1): TooLarge, "a b": Malformed, "a%00": Malformed, "%zz": Malformed, "\xff": Malformed,
		"a%c3%a9": Malformed,
	} {
		if _, err := d.decode(cookie{name: "s", value: value}, sealed); !refusedAs(err, want) {
			t.Errorf("%.20q: %v, want %s", value, err, want)
		}
	}
	if out, err := d.decode(cookie{name: "s", value: "a%2Bb"}, sealed); err != nil || string(out.key) != "a+b" {
		t.Errorf("a%%2Bb = %q, %v", out.key, err)
	}
	if _, err := d.decode(cookie{value: "x", signature: strings.Repeat("a", maxCookie+1)}, sealed); !refusedAs(err, TooLarge) {
		t.Errorf("long signature: %v", err)
	}
}

// TestForgedStamps: times that no framework writes, under a right signature.
func TestForgedStamps(t *testing.T) {
	t.Parallel()
	key := sha256.Sum256([]byte(djangoCookieSalt + "signer" + sealKey1))
	for _, stamp := range []string{"", "1xUWO_", "-1", "zzzzzzzz", "1xU:WO"} {
		signed := b64url(objectBody) + ":" + stamp
		c := cookie{name: sealName, value: signed + ":" + b64url(macOf(sha256.New, key[:], signed))}
		if d, err := sealers["django"].decoder(t, "django", sealKey1).decode(c, sealed); !refusedAs(err, Malformed) {
			t.Errorf("django %q: issued %v, %v; want %s", stamp, d.issued, err, Malformed)
		}
	}
	derived := macOf(sha1.New, []byte(sealKey1), "cookie-session")
	for _, stamp := range []string{"", "!", b64url(make([]byte, 6)), b64url(bytes.Repeat([]byte{255}, 9))} {
		signed := b64url(objectBody) + "." + stamp
		c := cookie{name: sealName, value: signed + "." + b64url(macOf(sha1.New, derived, signed))}
		if d, err := sealers["flask"].decoder(t, "flask", sealKey1).decode(c, sealed); !refusedAs(err, Malformed) {
			t.Errorf("flask %q: issued %v, %v; want %s", stamp, d.issued, err, Malformed)
		}
	}
}

// TestPhoenixHeader: only what says HS256 is HS256.
func TestPhoenixHeader(t *testing.T) {
	t.Parallel()
	key, err := phoenixDerive(ringOf(sealKey1), "salt")
	if err != nil {
		t.Fatal(err)
	}
	for header, good := range map[string]bool{"SFMyNTY": true, "SFM1MTI": false, "QTEyOEdDTQ": false, "": false} {
		signed := header + "." + b64url(termBody)
		c := cookie{name: sealName, value: signed + "." + b64url(macOf(sha256.New, key[0].bytes(), signed))}
		if _, err := sealers["phoenix"].decoder(t, "phoenix", sealKey1).decode(c, sealed); good != (err == nil) || !good && !refusedAs(err, Malformed) {
			t.Errorf("header %q: %v", header, err)
		}
	}
}

// TestRailsEnvelopes: what a right key has sealed, in envelopes of all sorts.
func TestRailsEnvelopes(t *testing.T) {
	t.Parallel()
	const pur = `"pur":"cookie.` + sealName + `"`
	for text, want := range map[string]Reason{
		`{"user":42}`: WrongPurpose, `{"_rails":[]}`: WrongPurpose, `{"_rails":{"data":{}}}`: WrongPurpose, `{"_rails":{"data":{},"pur":"` + sealName + `"}}`: WrongPurpose,
		`{"_rails":{` + pur + `}}`: Malformed, `{"_rails":{"message":3,` + pur + `}}`: Malformed, `{"_rails":{"message":"!",` + pur + `}}`: Malformed,
		`{"_rails":{"data":{},"exp":3,` + pur + `}}`: Malformed, `{"_rails":{"data":{},"exp":"soon",` + pur + `}}`: Malformed,
		`{"_rails":{"data":{},"exp":"2001-01-01T00:00:00.000Z",` + pur + `}}`: Expired,
		`{"_rails":{"data":{},"exp":null,` + pur + `}}`:                       "", `{"_rails":{"data":{},` + pur + `}}`: "", `not JSON`: Malformed,
	} {
		d, err := sealers["rails"].decoder(t, "rails", sealKey1).decode(railsCookie(t, sealKey1, sealName, []byte(text)), sealed)
		if want == "" && (err != nil || !d.expires.IsZero()) || want != "" && !refusedAs(err, want) {
			t.Errorf("%s: %+v, %v; want %q", text, d, err, want)
		}
	}
}

// TestKeygripKeys: a value that is base64 by chance is a key all the same.
func TestKeygripKeys(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"abcdefgh", "MTIz", "bnVsbA=="} {
		c := keygripCookie(sha1.New, sealKey1, sealName, id)
		d, err := sealers["keygrip"].decoder(t, "keygrip", sealKey1).decode(c, sealed)
		if err != nil || string(d.key) != id {
			t.Errorf("%s: %q, %v", id, d.key, err)
		}
	}
}

// leaky is a decoder whose errors are not refusals.
type leaky struct{}

func (leaky) decode(c cookie, _ time.Time) (decoded, error) {
	return decoded{key: []byte(c.value)}, fmt.Errorf("cannot read %q", c.value)
}

func TestGuardHidesOtherErrors(t *testing.T) {
	t.Parallel()
	const value = "the-value-of-the-cookie"
	d, err := guard{kind: "leaky", inner: leaky{}}.decode(cookie{value: value}, sealed)
	if !refusedAs(err, Malformed) || d.key != nil {
		t.Errorf("%+v, %v; want nothing and %s", d, err, Malformed)
	}
	checkSilent(t, err, value)
}

// TestClockIsInjected: cookies of 2001 and of 2100 are good in their own time.
func TestClockIsInjected(t *testing.T) {
	t.Parallel()
	for name, s := range allSealers() {
		for _, at := range []time.Time{time.Unix(1_000_000_000, 0), time.Unix(4_100_000_000, 0)} {
			c := s.seal(t, s.key(0), sealName, s.body, at)
			if _, err := s.decoder(t, name, s.key(0)).decode(c, at); err != nil {
				t.Errorf("%s at %v: %v", name, at.UTC(), err)
			}
		}
	}
}

// TestDjangoStoreHasNoAge: the row has its own end.
func TestDjangoStoreHasNoAge(t *testing.T) {
	t.Parallel()
	d, err := newPayloadDecoder("django", decodeOptions{secrets: ringOf(sealKey1), maxAge: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	data := djangoCookie(sealKey1, "", djangoStoreSalt, b64url(objectBody), sealed).value
	if out, err := d.decodePayload(sealName, []byte(data), sealed.AddDate(10, 0, 0)); err != nil || !out.expires.IsZero() {
		t.Errorf("ten years later: expires %v, %v", out.expires, err)
	}
}

// TestLengthsBehindTheMAC: IVs and blocks of other lengths, under a right MAC.
func TestLengthsBehindTheMAC(t *testing.T) {
	t.Parallel()
	key := sealers["laravel"].key(0)
	for _, sizes := range [][2]int{{0, 16}, {15, 16}, {17, 16}, {12, 16}, {16, 0}, {16, 15}} {
		iv, ciphertext := b64std(make([]byte, sizes[0])), b64std(make([]byte, sizes[1]))
		mac := hex.EncodeToString(macOf(sha256.New, []byte(key), iv, ciphertext))
		if _, err := sealers["laravel"].decoder(t, "laravel", key).decode(laravelCookie(sealName, iv, ciphertext, mac, ""), sealed); !refusedAs(err, Malformed) {
			t.Errorf("laravel, IV of %d and text of %d bytes: %v", sizes[0], sizes[1], err)
		}
		if _, err := sealers["iron"].decoder(t, "iron", sealKey1).decode(ironCookie(t, sizes), sealed); !refusedAs(err, Malformed) {
			t.Errorf("iron, IV of %d and text of %d bytes: %v", sizes[0], sizes[1], err)
		}
	}
}

func ironCookie(t testing.TB, sizes [2]int) cookie {
	t.Helper()
	key, err := ironKey(NewSecret([]byte(sealKey1)), "bb")
	if err != nil {
		t.Fatal(err)
	}
	signed := "Fe26.2*1*aa*" + b64url(make([]byte, sizes[0])) + "*" + b64url(make([]byte, sizes[1])) + "*"
	return cookie{name: sealName, value: signed + "*bb*" + b64url(macOf(sha256.New, key.bytes(), signed))}
}

func TestIronVersions(t *testing.T) {
	t.Parallel()
	s := sealers["iron"]
	c := s.seal(t, s.key(0), sealName, s.body, sealed)
	seal := strings.TrimSuffix(c.value, "~2")
	for value, good := range map[string]bool{seal + "~2": true, seal: true, seal + "~1": false, seal + "~": false, seal + "~2~1": false, seal + "~3": false} {
		_, err := s.decoder(t, "iron", s.key(0)).decode(cookie{name: sealName, value: value}, sealed)
		if good != (err == nil) {
			t.Errorf("ends with %q: %v", value[len(seal):], err)
		}
	}
}

func TestPadding(t *testing.T) {
	t.Parallel()
	key, iv := NewSecret(make([]byte, 32)), make([]byte, 16)
	block, err := aes.NewCipher(key.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for end, good := range map[string]bool{
		"\x01": true, "\x02\x02": true, strings.Repeat("\x10", 16): true, "\x00": false, "\x11": false, "\xff": false, "\x01\x02": false, "\x03\x02\x03": false,
	} {
		text := []byte(strings.Repeat("a", 16-len(end)) + end)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
		out, err := openCBC(key, iv, text)
		if good != (err == nil) || good && string(out) != strings.Repeat("a", 16-len(end)) {
			t.Errorf("padding %q: %q, %v", end, out, err)
		}
	}
}

func TestOneSpelling(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"QQ==", "QUI=", "QUJD"} {
		if _, err := unbase64(stdBase64, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"QR==", "QUJ=", "QUJD\n", "\r\nQUJD", "QQ", "Q", "QU-_"} {
		if out, err := unbase64(stdBase64, text); !refusedAs(err, Malformed) {
			t.Errorf("%q is another spelling of %q (%v)", text, out, err)
		}
	}
	if out, err := unbase64(urlBase64, "QR"); !refusedAs(err, Malformed) {
		t.Errorf("QR is another spelling of %q (%v)", out, err)
	}
}

func TestMeasureJSON(t *testing.T) {
	t.Parallel()
	brackets := strings.Repeat("[", 2*maxDepth)
	for text, good := range map[string]bool{
		`{"a":"` + brackets + `"}`: true, `{"a":"\"` + brackets + `"}`: true, `{"a":"\\","b":"` + brackets + `"}`: true,
		`{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`: true,
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`:     false,
		`{"a":"\\"` + brackets: false,
	} {
		if _, err := parseObject([]byte(text)); good != (err == nil) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// TestSecureCookieBlockKeys seals with the library itself.
func TestSecureCookieBlockKeys(t *testing.T) {
	t.Parallel()
	v := loadVector(t, "gorilla-cookiestore-encrypted")
	o := gorilla(t, v)
	s := setting{kind: "securecookie", options: func(testing.TB, vector) decodeOptions { return o }}
	o.encryption = ringOf(strings.Repeat("00", 32))
	if d, _, err := s.decodeHeader(t, v, v.CookieHeader, v.MadeAt); !refusedAs(err, Malformed) {
		t.Errorf("another block key: %+v, %v", d, err)
	}
	o.encryption = nil
	if d, _, err := s.decodeHeader(t, v, v.CookieHeader, v.MadeAt); !refusedAs(err, Malformed) {
		t.Errorf("no block key: %+v, %v", d, err)
	}
	if _, _, err := settings[v.Name].decodeHeader(t, v, v.CookieHeader, v.MadeAt.Add(secureMaxAge)); !refusedAs(err, Expired) {
		t.Errorf("after 30 days: %v", err)
	}
}

// TestSecurePayload: a column of pgstore is a securecookie under the cookie's name.
func TestSecurePayload(t *testing.T) {
	t.Parallel()
	d, err := newPayloadDecoder("securecookie", decodeOptions{secrets: ringOf(sealKey1)})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(sealSecure(t, sealKey1, sealName, gobBody, sealed).value)
	out, err := d.decodePayload(sealName, data, sealed)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"user": json.Number("42"), "org": "o7", "7": json.Number("1.5"), "raw": []byte{255}, "nothing": true}
	comparePayload(t, out, want, nil)
	for name, want := range map[string]Reason{"other": BadSignature, sealName: Expired} {
		now := sealed
		if want == Expired {
			now = sealed.Add(secureMaxAge)
		}
		if _, err := d.decodePayload(name, data, now); !refusedAs(err, want) {
			t.Errorf("%s at %v: %v, want %s", name, now, err, want)
		}
	}
	if _, err := d.decodePayload(sealName, []byte(sealSecure(t, sealKey1, sealName, mustGob("id"), sealed).value), sealed); !refusedAs(err, Malformed) {
		t.Errorf("a key as payload: %v", err)
	}
	if _, err := d.decodePayload(sealName, make([]byte, maxInflated+1), sealed); !refusedAs(err, TooLarge) {
		t.Errorf("a long column: %v", err)
	}
}

func TestPayloadsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		data   []byte
		want   Reason
	}{
		{"json", []byte("[]"), Malformed}, {"json", nil, Malformed}, {"json", make([]byte, maxInflated+1), TooLarge},
		{"scs", gobBody, Malformed}, {"scs", []byte{1}, Malformed}, {"scs", nil, Malformed},
		{"django-unverified", []byte("e30"), Malformed}, {"django-unverified", []byte("e30:x:y"), ""}, {"django-unverified", []byte("!:x:y"), Malformed},
		{"scs", columnBytes(t, scsExpired(t)), Expired},
	} {
		d, err := newPayloadDecoder(c.format, decodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.decodePayload("s", c.data, sealed)
		if c.want == "" && err != nil || c.want != "" && !refusedAs(err, c.want) {
			t.Errorf("%s %.20q: %v, want %s", c.format, c.data, err, c.want)
		}
	}
}

// scsExpired is the vector's row: its deadline is long before sealed.
func scsExpired(t testing.TB) string {
	return loadVector(t, "scs-postgresstore").Rows["sessions"][0]["data"].(string)
}

func TestFlaskTags(t *testing.T) {
	t.Parallel()
	s := sealers["flask"]
	body := []byte(`{"t":{" t":[1,{" u":"ab"}]},"d":{" di":{" t__":[2]}},"m":{" m":"x"},"n":{"a":{" b":"eA=="}},"odd":{" di":3},"two":{" t":1,"x":2}}`)
	d, err := s.decoder(t, "flask", s.key(0)).decode(s.seal(t, s.key(0), sealName, body, sealed), sealed)
	if err != nil {
		t.Fatal(err)
	}
	n := func(text string) any { return json.Number(text) }
	comparePayload(t, d, map[string]any{
		"t": []any{n("1"), "ab"}, "d": map[string]any{" t": []any{n("2")}}, "m": "x", "n": map[string]any{"a": "eA=="},
		"odd": n("3"), "two": map[string]any{" t": n("1"), "x": n("2")},
	}, nil)
}

// TestPhoenixMaxAge: max_age of the configuration shortens the cookie's own, never prolongs it.
func TestPhoenixMaxAge(t *testing.T) {
	t.Parallel()
	s := variants["phoenix remember"]
	for limit, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 2 * time.Hour: time.Hour} {
		s.options.maxAge = limit
		d, err := s.decoder(t, "phoenix", s.key(0)).decode(s.seal(t, s.key(0), sealName, s.body, sealed), sealed)
		if err != nil || d.expires.Sub(sealed) != want {
			t.Errorf("max_age %v: expires after %v, %v; want %v", limit, d.expires.Sub(sealed), err, want)
		}
	}
}
