package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
)

// storeHash makes of a decoded key the text that the store's key column holds.
type storeHash func(key []byte) ([]byte, error)

// newStoreHash is `hash:` of a store.
func newStoreHash(name string) (storeHash, error) {
	switch name {
	case "", "none":
		return func(key []byte) ([]byte, error) { return key, nil }, nil
	case "sha256-hex":
		return func(key []byte) ([]byte, error) { return []byte(hexSum(key)), nil }, nil
	case "sha256-b64url":
		return hashBase64, nil
	case "rack":
		return hashRack, nil
	}
	return nil, fmt.Errorf("hash: %q is unknown (known: none, sha256-hex, sha256-b64url, rack)", name)
}

func hexSum(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

func hashBase64(key []byte) ([]byte, error) {
	sum := sha256.Sum256(key)
	return []byte(base64.RawURLEncoding.EncodeToString(sum[:])), nil
}

var rackPrivate = regexp.MustCompile(`^[0-9]+::`)

// hashRack makes the private id of a session of its public one. What already looks
// like a private id was read out of a database and is no cookie.
func hashRack(key []byte) ([]byte, error) {
	if rackPrivate.Match(key) {
		return nil, refuse(Malformed, "it is the private id of a row, not a cookie")
	}
	return []byte("2::" + hexSum(key)), nil
}
