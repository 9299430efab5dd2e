package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// prints are the ways in which a value ends up in an output.
func prints(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "% x", "%T"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", &v)
	}
	fmt.Fprintln(&out, v, fmt.Errorf("wrapped: %v", v))
	if text, err := json.Marshal(v); err == nil {
		out.Write(text)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	return out.String()
}

// spellings of a key that an output could have.
func spellings(key []byte) []string {
	decimal := strings.Trim(fmt.Sprint(key), "[]")
	return []string{
		string(key), decimal, strings.ReplaceAll(decimal, " ", ", "), hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)),
		base64.StdEncoding.EncodeToString(key), fmt.Sprintf("% x", key), strings.Trim(fmt.Sprintf("%#v", key), "[]byte{}"),
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := NewSecret(key)
	held := struct {
		Name    string
		Public  Secret
		private Secret
		ring    KeyRing
		options decodeOptions
	}{"n", secret, secret, KeyRing{secret}, decodeOptions{secrets: KeyRing{secret}}}
	for name, v := range map[string]any{"Secret": secret, "pointer": &secret, "KeyRing": KeyRing{secret}, "struct": held, "map": map[string]Secret{"k": secret}} {
		checkHidden(t, name, prints(t, v), key)
	}
	text, err := yaml.Marshal(map[string]any{"s": secret})
	if err != nil || !strings.Contains(string(text), hidden) {
		t.Errorf("YAML: %s, %v", text, err)
	}
	if text, err := secret.MarshalText(); err != nil || string(text) != hidden {
		t.Errorf("MarshalText: %s, %v", text, err)
	}
	for name, got := range map[string]string{"String": secret.String(), "GoString": secret.GoString(), "LogValue": secret.LogValue().String(), "zero": fmt.Sprint(Secret{}), "%d": fmt.Sprintf("%d", secret), "%#x": fmt.Sprintf("%#x", secret)} {
		if got != hidden {
			t.Errorf("%s = %q, want %q", name, got, hidden)
		}
	}
	if !bytes.Equal(secret.bytes(), key) || (Secret{}).bytes() != nil {
		t.Error("the secret does not hold the key")
	}
}

func checkHidden(t *testing.T, name, output string, key []byte) {
	t.Helper()
	for _, spelling := range spellings(key) {
		if strings.Contains(output, spelling) {
			t.Errorf("%s shows the key as %q", name, spelling)
		}
	}
}

// TestDecodersHideTheirKeys: what is derived from a secret is a secret too.
func TestDecodersHideTheirKeys(t *testing.T) {
	t.Parallel()
	for name, s := range allSealers() {
		d := s.decoder(t, name, s.key(0))
		output := prints(t, d)
		checkHidden(t, name, output, []byte(s.key(0)))
		inner := d.(guard).inner
		var ring KeyRing
		switch d := inner.(type) {
		case rails:
			ring = d.keys
		case railsSigned:
			ring = d.keys
		case django:
			ring = d.keys
		case dangerous:
			ring = d.keys
		case phoenix:
			ring = d.session
		}
		for _, derived := range ring {
			checkHidden(t, name, output, derived.bytes())
		}
	}
}

func TestNewSecretCopies(t *testing.T) {
	t.Parallel()
	key := []byte("abc")
	secret := NewSecret(key)
	key[0] = 'x'
	if string(secret.bytes()) != "abc" {
		t.Error("the secret changes with the slice that it was made of")
	}
}

func TestLoadKeyRing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from file \n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"NEW": "from env\n", "EMPTY": ""}[name]
		return value, ok
	}
	ring, err := LoadKeyRing([]string{"env:NEW", "file:" + file}, env)
	if err != nil {
		t.Fatal(err)
	}
	if len(ring) != 2 || string(ring[0].bytes()) != "from env\n" || string(ring[1].bytes()) != "from file \n" {
		t.Errorf("%d keys, not those of the references in their order", len(ring))
	}
	empty, long := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "long")
	if os.WriteFile(empty, []byte("\n"), 0o600) != nil || os.WriteFile(long, make([]byte, maxKeyFile+1), 0o600) != nil {
		t.Fatal("cannot write")
	}
	for ref, want := range map[string]string{
		"env:OTHER": "variable OTHER is not set", "env:EMPTY": "variable EMPTY is not set or empty", "hunter2-inline": "write env:NAME or file:PATH",
		"env:hunter2 inline": "not the name of an environment variable", "": "write env:NAME", "file:/nonexistent/x": "/nonexistent/x",
		"file:" + empty: "holds 0 bytes", "file:" + long: "1 to 65536", "file:" + t.TempDir(): "read a secret",
	} {
		_, err := LoadKeyRing([]string{"env:NEW", ref}, env)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "secret 2") {
			t.Errorf("%q: %v, want an error of secret 2 with %q", ref, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows what may be a secret: %v", err)
		}
	}
	if _, err := LoadKeyRing(make([]string, maxRing+1), env); err == nil {
		t.Error("a ring of 9 keys is accepted")
	}
}
