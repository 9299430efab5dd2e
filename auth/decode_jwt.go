package auth

import (
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tokenLeeway is how far clocks may be apart.
const tokenLeeway = 30 * time.Second

// maxTries bounds the signatures that are computed for one token.
const maxTries = 8

// token decoders read signed tokens (JWS, compact). What it is signed with comes from
// the configuration, never from the token.
type token struct {
	algorithms []jose.SignatureAlgorithm
	shared     KeyRing   // keys of HS256 and so on; empty when keys is set
	keys       keySource // nil when shared is set
	issuer     string
	audience   []string
	maxAge     time.Duration // zero: tokens must have exp
}

func newJWT(o decodeOptions) (decoder, error) { return newToken(o) }

func newToken(o decodeOptions) (*token, error) {
	if len(o.algorithms) == 0 {
		return nil, errors.New("algorithms are missing: name what tokens are signed with, for example [RS256]")
	}
	list, shared, err := signatureAlgorithms(o.algorithms)
	switch {
	case err != nil:
		return nil, err
	case shared && (len(o.secrets) == 0 || o.keys != nil):
		return nil, errors.New("HS algorithms need secrets, and no jwks")
	case !shared && (o.keys == nil || len(o.secrets) > 0):
		return nil, errors.New("public-key algorithms need jwks, and no secrets")
	case !shared && o.issuer == "" && len(o.audience) == 0:
		return nil, errors.New("set issuer or audience: with these keys tokens for other applications may be signed too")
	}
	return &token{algorithms: list, shared: o.secrets, keys: o.keys, issuer: o.issuer, audience: o.audience, maxAge: o.maxAge}, nil
}

func (t *token) decode(c cookie, now time.Time) (decoded, error) {
	return t.open(c.value, now)
}

func (t *token) open(text string, now time.Time) (decoded, error) {
	payload, err := t.verify(text)
	if err != nil {
		return decoded{}, err
	}
	claims, err := parseObject(payload)
	if err != nil {
		return decoded{}, err
	}
	if err := t.checkParties(claims); err != nil {
		return decoded{}, err
	}
	return t.lifetime(claims, now)
}

// verify checks the signature and returns the payload.
func (t *token) verify(text string) ([]byte, error) {
	header, err := tokenHeader(text)
	if err != nil {
		return nil, err
	}
	algorithm, _ := header["alg"].(string)
	if !slices.Contains(t.algorithms, jose.SignatureAlgorithm(algorithm)) {
		return nil, refuse(WrongAlgorithm, "its algorithm is not one of the configured ones")
	}
	signed, err := jose.ParseSignedCompact(text, t.algorithms)
	if err != nil {
		return nil, refuse(Malformed, "it is not a compact signed token")
	}
	kid, _ := header["kid"].(string)
	keys, err := t.candidates(kid, jose.SignatureAlgorithm(algorithm))
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, err := signed.Verify(key); err == nil {
			return payload, nil
		}
	}
	if t.keys != nil && kid == "" {
		// Who names no keys may have changed them.
		return nil, refuse(UnknownKey, "no known key has made its signature, and it names none")
	}
	return nil, refuse(BadSignature, "no key has made its signature")
}

func (t *token) candidates(kid string, algorithm jose.SignatureAlgorithm) ([]any, error) {
	var keys []any
	for _, secret := range t.shared {
		keys = append(keys, secret.bytes())
	}
	if t.keys == nil {
		return keys, nil
	}
	for _, key := range t.keys.candidates(kid, algorithm) {
		if len(keys) < maxTries {
			keys = append(keys, key.Key)
		}
	}
	if len(keys) == 0 {
		return nil, refuse(UnknownKey, "no known key has its kid and algorithm")
	}
	return keys, nil
}

func (t *token) checkParties(claims map[string]any) error {
	if t.issuer != "" && claims["iss"] != t.issuer {
		return refuse(WrongIssuer, "its iss is not the configured issuer")
	}
	if len(t.audience) == 0 {
		return nil
	}
	for _, one := range audiences(claims) {
		if slices.Contains(t.audience, one) {
			return nil
		}
	}
	return refuse(WrongAudience, "its aud has none of the configured audiences")
}

// lifetime checks nbf and finds the end: exp, or iat and max_age, whichever is earlier.
func (t *token) lifetime(claims map[string]any, now time.Time) (decoded, error) {
	expires, okExp := claimTime(claims, "exp")
	issued, okIat := claimTime(claims, "iat")
	begins, okNbf := claimTime(claims, "nbf")
	if !okExp || !okIat || !okNbf {
		return decoded{}, refuse(Malformed, "exp, iat or nbf is not a time")
	}
	if begins.After(now.Add(tokenLeeway)) || issued.After(now.Add(tokenLeeway)) {
		return decoded{}, refuse(NotYetValid, "it is valid only later")
	}
	if limit := issued.Add(t.maxAge); t.maxAge > 0 && !issued.IsZero() && (expires.IsZero() || limit.Before(expires)) {
		expires = limit
	}
	if expires.IsZero() {
		return decoded{}, refuse(Malformed, "it has no exp (max_age and iat would do)")
	}
	return decoded{payload: claims, issued: issued, expires: expires.Add(tokenLeeway)}, nil
}
