package auth

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
)

// tokenVectors is jwt-set.json.
type tokenVectors struct {
	MadeAt  time.Time                 `json:"made_at"`
	Options struct{ Iss, Aud string } `json:"options"`
	HS256   string                    `json:"hs256_secret_b64"`
	JWKS    json.RawMessage           `json:"jwks"`
	Rotated json.RawMessage           `json:"jwks_after_rotation"`
	Expect  struct {
		Subset map[string]any `json:"payload_subset"`
	} `json:"expected"`
	Valid   []tokenExample `json:"valid"`
	Invalid []tokenExample `json:"invalid"`
}

type tokenExample struct {
	Why       string `json:"why"`
	Token     string `json:"token"`
	NeedsJWKS string `json:"needs_jwks"`
}

var publicAlgorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

func (v tokenVectors) options(t testing.TB, set json.RawMessage) decodeOptions {
	t.Helper()
	keys, err := parseKeySet(set)
	if err != nil {
		t.Fatal(err)
	}
	return decodeOptions{algorithms: publicAlgorithms, issuer: v.Options.Iss, audience: []string{v.Options.Aud}, keys: keys}
}

func (v tokenVectors) decoder(t testing.TB, e tokenExample) decoder {
	t.Helper()
	o := decodeOptions{}
	switch e.NeedsJWKS {
	case "jwks_after_rotation":
		o = v.options(t, v.Rotated)
	case "jwks":
		o = v.options(t, v.JWKS)
	default:
		o = decodeOptions{algorithms: []string{"HS256"}, issuer: v.Options.Iss, audience: []string{v.Options.Aud}, secrets: ringOf(v.HS256), encoding: "base64"}
	}
	d, err := newDecoder("jwt", o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var tokenReasons = map[string]Reason{
	"alg none": WrongAlgorithm, "alg None, odd case": WrongAlgorithm,
	"HS256 keyed with the RSA public PEM (algorithm confusion)": WrongAlgorithm,
	"attacker key, kid of ours":                                 BadSignature,
	"embedded jwk header":                                       Unsupported,
	"jku header":                                                Unsupported,
	"crit header not understood":                                Unsupported,
	"expired":                                                   Expired,
	"nbf in the future":                                         NotYetValid,
	"wrong aud":                                                 WrongAudience,
	"wrong iss":                                                 WrongIssuer,
	"no exp (must be refused unless max age is set)": Malformed,
	"unknown kid":                   UnknownKey,
	"JWT of kid rsa-1 signed ES256": UnknownKey,
}

func TestTokenVectors(t *testing.T) {
	t.Parallel()
	var v tokenVectors
	loadJSON(t, "jwt-set", &v)
	if len(v.Valid) == 0 || len(v.Invalid) != len(tokenReasons) {
		t.Fatalf("%d valid, %d invalid tokens, want some and %d", len(v.Valid), len(v.Invalid), len(tokenReasons))
	}
	for _, e := range v.Valid {
		d, err := v.decoder(t, e).decode(cookie{value: e.Token}, v.MadeAt)
		if err != nil {
			t.Errorf("%s: %v", e.Why, err)
		}
		comparePayload(t, d, nil, v.Expect.Subset)
	}
	for _, e := range v.Invalid {
		for _, set := range []string{"jwks", ""} {
			e.NeedsJWKS = set
			_, err := v.decoder(t, e).decode(cookie{value: e.Token}, v.MadeAt)
			if err == nil {
				t.Errorf("%s: accepted", e.Why)
				continue
			}
			if reason, _ := ReasonOf(err); set != "" && reason != tokenReasons[e.Why] {
				t.Errorf("%s: %v, want %s", e.Why, err, tokenReasons[e.Why])
			}
			checkSilent(t, err, e.Token)
		}
	}
}

// TestRotatedKeySet: a key that has gone is unknown, not badly signed, so that the set
// is fetched again.
func TestRotatedKeySet(t *testing.T) {
	t.Parallel()
	var v tokenVectors
	loadJSON(t, "jwt-set", &v)
	for _, e := range v.Valid {
		if e.NeedsJWKS != "jwks_after_rotation" {
			continue
		}
		e.NeedsJWKS = "jwks"
		_, err := v.decoder(t, e).decode(cookie{value: e.Token}, v.MadeAt)
		if reason, _ := ReasonOf(err); reason != UnknownKey {
			t.Errorf("%s with the set of before: %v, want %s", e.Why, err, UnknownKey)
		}
	}
}

func TestTokenWithoutExpNeedsMaxAge(t *testing.T) {
	t.Parallel()
	secret := "0123456789abcdef0123456789abcdef"
	sign := func(claims string) string {
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		return text + "." + base64.RawURLEncoding.EncodeToString(macOf(digests["sha256"], []byte(secret), text))
	}
	now := time.Unix(1_800_000_000, 0)
	decode := func(maxAge time.Duration, claims string) (decoded, error) {
		d, err := newDecoder("jwt", decodeOptions{secrets: ringOf(secret), algorithms: []string{"HS256"}, maxAge: maxAge})
		if err != nil {
			t.Fatal(err)
		}
		return d.decode(cookie{value: sign(claims)}, now)
	}
	d, err := decode(time.Hour, `{"sub":"1","iat":1799999000}`)
	if want := time.Unix(1799999000, 0).Add(time.Hour + tokenLeeway); err != nil || !d.expires.Equal(want) {
		t.Errorf("expires %v, %v; want %v", d.expires, err, want)
	}
	for claims, want := range map[string]Reason{
		`{"sub":"1"}`: Malformed, `{"sub":"1","iat":1799990000}`: Expired, `{"sub":"1","iat":1800000060}`: NotYetValid,
		`{"sub":"1","exp":"1800000060"}`: Malformed, `{"sub":"1","exp":1e300}`: Malformed, `{"sub":"1","exp":-1}`: Malformed,
		`{"iat":1799990000,"exp":1900000000}`: Expired, `[]`: Malformed,
	} {
		if _, err := decode(time.Hour, claims); !refusedAs(err, want) {
			t.Errorf("%s: %v, want %s", claims, err, want)
		}
	}
	if _, err := decode(0, `{"sub":"1","iat":1799999000}`); !refusedAs(err, Malformed) {
		t.Errorf("no exp and no max_age: %v, want %s", err, Malformed)
	}
}

func refusedAs(err error, want Reason) bool {
	reason, ok := ReasonOf(err)
	return ok && reason == want
}
