package auth

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
)

const (
	hidden     = "[secret]"
	maxRing    = 8
	maxKeyFile = 64 << 10
)

// Secret is a key that no output shows: whatever prints, logs or marshals it says
// [secret]. The zero value holds nothing. Immutable.
type Secret struct {
	// held is a closure because package fmt calls no methods on unexported fields, and
	// follows pointers when the verb is wrong (%s of a pointer): of a structure around a
	// Secret it prints an address, never the bytes.
	held func() []byte
}

// NewSecret holds a copy of key.
func NewSecret(key []byte) Secret {
	held := append([]byte(nil), key...)
	return Secret{held: func() []byte { return held }}
}

// bytes is the key itself. It must not be changed, stored or printed.
func (s Secret) bytes() []byte {
	if s.held == nil {
		return nil
	}
	return s.held()
}

// String says [secret].
func (Secret) String() string { return hidden }

// GoString says [secret].
func (Secret) GoString() string { return hidden }

// Format says [secret], whatever the verb: %d and %x too.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue says [secret].
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON says "[secret]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText says [secret].
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML says [secret].
func (Secret) MarshalYAML() (any, error) { return hidden, nil }

// KeyRing is the current key and, after it, older ones that still open what they
// sealed. All of them are tried alike.
type KeyRing []Secret

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// LoadKeyRing reads the keys that refs name, in their order: "env:NAME" is an
// environment variable (lookup is os.LookupEnv but in tests), "file:PATH" a file, of
// which one line end at the end is not part of the key. Errors say which reference is
// wrong, never what stands in it unless it is the name of a variable or a file.
func LoadKeyRing(refs []string, lookup func(string) (string, bool)) (KeyRing, error) {
	if len(refs) > maxRing {
		return nil, fmt.Errorf("%d secrets are more than the %d a ring can hold: drop the oldest", len(refs), maxRing)
	}
	ring := make(KeyRing, 0, len(refs))
	for i, ref := range refs {
		key, err := loadKey(ref, lookup)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		ring = append(ring, NewSecret(key))
	}
	return ring, nil
}

func loadKey(ref string, lookup func(string) (string, bool)) ([]byte, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		return loadEnv(name, lookup)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return loadFile(path)
	}
	return nil, errors.New("write env:NAME or file:PATH; a secret does not stand in the configuration itself")
}

func loadEnv(name string, lookup func(string) (string, bool)) ([]byte, error) {
	if !envName.MatchString(name) {
		return nil, errors.New("what follows env: is not the name of an environment variable")
	}
	value, ok := lookup(name)
	if !ok || value == "" {
		return nil, fmt.Errorf("the environment variable %s is not set or empty: set it to the application's secret", name)
	}
	return []byte(value), nil
}

func loadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	key, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	key = trimLineEnd(key)
	if len(key) == 0 || len(key) > maxKeyFile {
		return nil, fmt.Errorf("the file %s holds %d bytes: a secret has 1 to %d", path, len(key), maxKeyFile)
	}
	return key, nil
}

func trimLineEnd(key []byte) []byte {
	text, ended := strings.CutSuffix(string(key), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return []byte(text)
}

// derive makes a ring of keys computed from those of r, in the same order.
func (r KeyRing) derive(compute func(key []byte) ([]byte, error)) (KeyRing, error) {
	out := make(KeyRing, len(r))
	for i, secret := range r {
		key, err := compute(secret.bytes())
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		out[i] = NewSecret(key)
	}
	return out, nil
}

// decoded is the ring whose keys are written as encoding says.
func (r KeyRing) decoded(encoding string) (KeyRing, error) {
	switch encoding {
	case "", "text":
		return r, nil
	case "hex":
		return r.derive(func(key []byte) ([]byte, error) { return decodeKey(hex.DecodeString, key, encoding) })
	case "base64":
		return r.derive(func(key []byte) ([]byte, error) {
			return decodeKey(base64.StdEncoding.DecodeString, key, encoding)
		})
	}
	return nil, errors.New("encoding is text, hex or base64")
}

// decodeKey drops the decoder's own error: it quotes what it could not read.
func decodeKey(decode func(string) ([]byte, error), key []byte, encoding string) ([]byte, error) {
	out, err := decode(string(key))
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("is not %s", encoding)
	}
	return out, nil
}
