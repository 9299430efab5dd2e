package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet  = 256 << 10
	maxSetKeys = 64
	minRSABits = 2048
)

// keySource holds the public keys of who signs tokens. Safe for concurrent use.
type keySource interface {
	// candidates are the keys that may have made a signature with this algorithm under
	// this key id (empty: the token names none). It never blocks: a source that fetches
	// answers with what it has, and the decoder's UnknownKey says that newer keys are
	// wanted.
	candidates(kid string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey
}

// keySet is a key source that never changes.
type keySet []jose.JSONWebKey

// parseKeySet reads a JWKS. Keys that verify no signature (other uses, private and
// shared ones, short RSA, unknown types) are left out; a set without any is an error.
func parseKeySet(data []byte) (keySet, error) {
	if len(data) > maxKeySet {
		return nil, fmt.Errorf("the key set has %d bytes, more than 256 KiB", len(data))
	}
	if err := measureJSON(data); err != nil {
		return nil, errors.New("the key set is nested too deeply or has too many values")
	}
	var raw struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("the key set is not JSON with a list of keys")
	}
	if len(raw.Keys) > maxSetKeys {
		return nil, fmt.Errorf("the key set has %d keys, more than %d", len(raw.Keys), maxSetKeys)
	}
	var set keySet
	for _, one := range raw.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && verifies(key) {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("the key set has no public key that signs")
	}
	return set, nil
}

func verifies(key jose.JSONWebKey) bool {
	return key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig") && len(keyAlgorithms(key)) > 0
}

// keyAlgorithms are those that a key can be used with, by its type and size.
func keyAlgorithms(key jose.JSONWebKey) []jose.SignatureAlgorithm {
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

func (s keySet) candidates(kid string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, key := range s {
		named := kid == "" || key.KeyID == kid
		if named && (key.Algorithm == "" || key.Algorithm == string(algorithm)) && slices.Contains(keyAlgorithms(key), algorithm) {
			out = append(out, key)
		}
	}
	return out
}
