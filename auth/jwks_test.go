package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestKeySets(t *testing.T) {
	t.Parallel()
	var v tokenVectors
	loadJSON(t, "jwt-set", &v)
	var private struct {
		Keys []struct{ JWK json.RawMessage } `json:"private_keys_test_only"`
	}
	loadJSON(t, "jwt-set", &private)
	// A modulus that nobody has the primes of does for a key that must be left out.
	short, err := json.Marshal(jose.JSONWebKey{Key: &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}, KeyID: "short"})
	if err != nil {
		t.Fatal(err)
	}
	good := `{"kty":"OKP","crv":"Ed25519","x":"6i5noS5Y2W4WvTq9qeIgQ3NkBG2AihY7ZViCjmMSlAM","kid":"good"}`
	for name, c := range map[string]struct {
		set  string
		want int // keys; 0: an error
	}{
		"the vector's":   {string(v.JWKS), 5},
		"after rotation": {string(v.Rotated), 3},
		"private":        {`{"keys":[` + string(private.Keys[0].JWK) + `]}`, 0},
		"short RSA":      {`{"keys":[` + string(short) + `]}`, 0},
		"shared":         {`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"x"}]}`, 0},
		"for encryption": {`{"keys":[` + strings.Replace(good, `"kid"`, `"use":"enc","kid"`, 1) + `]}`, 0},
		"unknown kinds":  {`{"keys":[{"kty":"PQC"},{},` + good + `,{"kty":"EC","crv":"P-999"}]}`, 1},
		"no keys":        {`{"keys":[]}`, 0}, "not a set": {`[]`, 0}, "nothing": {``, 0},
		"too many":  {`{"keys":[` + strings.Repeat(good+",", maxSetKeys) + good + `]}`, 0},
		"too long":  {strings.Repeat(" ", maxKeySet) + string(v.JWKS), 0},
		"too deep":  {`{"keys":[` + good + `],"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 0},
		"one alone": {`{"keys":[` + good + `]}`, 1},
	} {
		set, err := parseKeySet([]byte(c.set))
		if len(set) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d keys, %v; want %d", name, len(set), err, c.want)
		}
	}
}

// TestKeysOfOtherAlgorithms: kid and alg must both fit, and the key's type must suit.
func TestKeysOfOtherAlgorithms(t *testing.T) {
	t.Parallel()
	var v tokenVectors
	loadJSON(t, "jwt-set", &v)
	set, err := parseKeySet(v.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kid  string
		alg  jose.SignatureAlgorithm
		want int
	}{
		{"rsa-1", jose.RS256, 1}, {"rsa-1", jose.PS256, 0}, {"rsa-1", jose.RS512, 0}, {"ec-1", jose.ES256, 1}, {"ec-1", jose.ES384, 0},
		{"ec384-1", jose.ES256, 0}, {"", jose.RS256, 1}, {"", jose.HS256, 0}, {"", jose.EdDSA, 1}, {"RSA-1", jose.RS256, 0}, {"none", jose.ES256, 0},
	} {
		if got := set.candidates(c.kid, c.alg); len(got) != c.want {
			t.Errorf("kid %q alg %s: %d keys, want %d", c.kid, c.alg, len(got), c.want)
		}
	}
	// Without "alg" the type decides.
	for i := range set {
		set[i].Algorithm = ""
	}
	if n := len(set.candidates("", jose.RS512)); n != 2 {
		t.Errorf("%d RSA keys for RS512, want 2", n)
	}
}

// TestTokensWithOddHeaders: right signatures under headers that bring trouble.
func TestTokensWithOddHeaders(t *testing.T) {
	t.Parallel()
	d := sealers["jwt"].decoder(t, "jwt", sealKey1)
	claims := claimsOf([]byte(`{"sub":"42"}`), sealed)
	for header, want := range map[string]Reason{
		`{"alg":"HS256"}`: "", `{"alg":"HS256","kid":"any","typ":"at+jwt","x5t":"AA"}`: "", `{"alg":"HS256","crit":["b64"],"b64":false}`: Unsupported,
		`{"alg":"HS256","crit":[]}`: Unsupported, `{"alg":"HS256","zip":"DEF"}`: Unsupported, `{"alg":"HS256","jku":"http://x"}`: Unsupported,
		`{"alg":"HS256","x5c":["AA"]}`: Unsupported, `{"alg":"HS256","x5u":"http://x"}`: Unsupported, `{"alg":"HS256","jwk":{}}`: Unsupported,
		`{"alg":"HS512"}`: WrongAlgorithm, `{"alg":"hs256"}`: WrongAlgorithm, `{"alg":["HS256"]}`: WrongAlgorithm, `{}`: WrongAlgorithm, `[]`: Malformed, ``: Malformed,
	} {
		text := b64url([]byte(header)) + "." + b64url(claims)
		token := text + "." + b64url(macOf(digests["sha256"], []byte(sealKey1), text))
		if _, err := d.decode(cookie{value: token}, sealed); want == "" && err != nil || want != "" && !refusedAs(err, want) {
			t.Errorf("%s: %v, want %q", header, err, want)
		}
	}
	for _, text := range []string{"a", "..", "a.b", "a.b.c.d", "e30.e30.", strings.Repeat(".", 100), `{"payload":"e30","signatures":[]}`} {
		if _, err := d.decode(cookie{value: text}, sealed); err == nil {
			t.Errorf("%q is accepted as a token", text)
		}
	}
}

// TestTokensOfOtherCurves: a P-256 key that is presented for ES384 fits nothing.
func TestTokensOfOtherCurves(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := keySet{{Key: &key.PublicKey, KeyID: "k"}}
	d, err := newDecoder("jwt", decodeOptions{keys: public, algorithms: []string{"ES256", "ES384"}, audience: []string{"app"}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for claims, want := range map[string]Reason{
		`{"aud":"app"}`: "", `{"aud":["x","app"]}`: "", `{"aud":["x",3]}`: WrongAudience, `{"aud":{"app":1}}`: WrongAudience, `{}`: WrongAudience,
	} {
		signed, err := signer.Sign(claimsOf([]byte(claims), sealed))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.decode(cookie{value: token}, sealed); want == "" && err != nil || want != "" && !refusedAs(err, want) {
			t.Errorf("%s: %v, want %q", claims, err, want)
		}
		_, rest, _ := strings.Cut(token, ".")
		other := b64url([]byte(`{"alg":"ES384","kid":"k"}`)) + "." + rest
		if _, err := d.decode(cookie{value: other}, sealed); !refusedAs(err, UnknownKey) {
			t.Errorf("a P-256 key for ES384: %v", err)
		}
	}
}

// TestSealedTokensWithOddHeaders: JWE whose header names something else.
func TestSealedTokensWithOddHeaders(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]sealer{"authjs": sealers["authjs"], "nextauth": sealers["nextauth"]} {
		d := s.decoder(t, name, s.key(0))
		c := s.seal(t, s.key(0), sealName, s.body, sealed)
		_, rest, _ := strings.Cut(c.value, ".")
		for header, want := range map[string]Reason{
			`{"alg":"dir","enc":"A128GCM"}`: WrongAlgorithm, `{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":100000000}`: WrongAlgorithm,
			`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`: Unsupported, `{"alg":"dir","enc":"A256CBC-HS512","zip":"DEF"}`: Unsupported, `{}`: WrongAlgorithm,
		} {
			c.value = b64url([]byte(header)) + "." + rest
			if _, err := d.decode(c, sealed); !refusedAs(err, want) {
				t.Errorf("%s with %s: %v, want %s", name, header, err, want)
			}
		}
		for _, claims := range []string{`{}`, `{"exp":"soon"}`, `{"exp":true}`} {
			plain := joseCookieOf(t, name, s.key(0), []byte(claims))
			if _, err := d.decode(plain, sealed); !refusedAs(err, Malformed) {
				t.Errorf("%s with claims %s: %v, want %s", name, claims, err, Malformed)
			}
		}
		late := []byte(`{"exp":1900000000,"nbf":1850000000}`)
		if _, err := d.decode(joseCookieOf(t, name, s.key(0), late), sealed); !refusedAs(err, NotYetValid) {
			t.Errorf("%s before nbf: %v, want %s", name, err, NotYetValid)
		}
	}
}

// joseCookieOf seals claims as they are.
func joseCookieOf(t testing.TB, name, key string, claims []byte) cookie {
	t.Helper()
	if name == "authjs" {
		return rawAuthJS(t, key, sealName, claims)
	}
	return rawNextAuth(t, key, sealName, claims)
}

func TestClaimTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		`{"exp":1800000000}`: time.Unix(1800000000, 0), `{"exp":1800000000.5}`: time.Unix(1800000000, 5e8), `{"exp":1.8e9}`: time.Unix(1800000000, 0),
		`{}`: {}, `{"exp":null}`: {},
	} {
		claims, err := parseObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := claimTime(claims, "exp"); !ok || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{`{"exp":"1"}`, `{"exp":-1}`, `{"exp":1e300}`, `{"exp":1e999}`, `{"exp":[1]}`, `{"exp":false}`} {
		claims, err := parseObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := claimTime(claims, "exp"); ok {
			t.Errorf("%s is taken for %v", text, got)
		}
	}
}
