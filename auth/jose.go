package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tokenHeader reads the protected header of a compact token before a library sees it.
// Headers that bring keys along, and extensions that must be understood, are refused.
func tokenHeader(token string) (map[string]any, error) {
	first, _, ok := strings.Cut(token, ".")
	if !ok {
		return nil, refuse(Malformed, "it is not a compact token")
	}
	data, err := unbase64(urlBase64, first)
	if err != nil {
		return nil, err
	}
	header, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"crit", "b64", "zip", "jwk", "jku", "x5c", "x5u"} {
		if _, ok := header[name]; ok {
			return nil, refuse(Unsupported, "the token's header has one of crit, b64, zip, jwk, jku, x5c, x5u")
		}
	}
	return header, nil
}

// claimTime reads a NumericDate: seconds, whole or not. ok is false of what is none;
// missing claims are the zero time.
func claimTime(claims map[string]any, name string) (t time.Time, ok bool) {
	v, there := claims[name]
	if !there || v == nil {
		return time.Time{}, true
	}
	number, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true
}

// audiences are the values of aud, which is a string or a list of them.
func audiences(claims map[string]any) []string {
	switch v := claims["aud"].(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, one := range v {
			if text, ok := one.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// signatureAlgorithms checks the list of the configuration: known ones, and never
// shared keys beside public ones, where one could be taken for the other.
func signatureAlgorithms(names []string) (list []jose.SignatureAlgorithm, shared bool, err error) {
	symmetric := []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	public := []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
	count := 0
	for _, name := range names {
		algorithm := jose.SignatureAlgorithm(name)
		switch {
		case slices.Contains(symmetric, algorithm):
			count++
		case !slices.Contains(public, algorithm):
			return nil, false, errors.New("algorithms: known are HS256/384/512, RS256/384/512, PS256/384/512, ES256/384/512, EdDSA")
		}
		list = append(list, algorithm)
	}
	switch count {
	case 0:
		return list, false, nil
	case len(list):
		return list, true, nil
	}
	return nil, false, errors.New("algorithms: HS and public-key algorithms must not stand in one entry")
}
