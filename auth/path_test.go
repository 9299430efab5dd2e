package auth

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAt(t *testing.T) {
	t.Parallel()
	payload, err := parseObject([]byte(`{"passport":{"user":42},"warden.user.user.key":[[7],"salt"],"a":{"b":{"c":1}},"a.b":{"d":2},"":{"x":3},"n":null,"l":[10]}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"passport.user": json.Number("42"), "warden.user.user.key.0.0": json.Number("7"), "warden.user.user.key.1": "salt",
		"a.b.c": json.Number("1"), "a.b.d": json.Number("2"), "n": nil, "l.0": json.Number("10"),
	} {
		if got, ok := at(payload, path); !ok || got != want {
			t.Errorf("%s = %v, %v; want %v", path, got, ok, want)
		}
	}
	for _, path := range []string{"passport.users", "passport.user.x", "l.1", "l.-1", "l.00x", "l.x", "a.b.c.d", "n.x", ".", "a..b", "warden.user.user.key.0.1"} {
		if got, ok := at(payload, path); ok {
			t.Errorf("%s = %v, want nothing", path, got)
		}
	}
}

func TestStoreKey(t *testing.T) {
	t.Parallel()
	payload := map[string]any{"id": json.Number("7"), "raw": []byte{0, 255}, "text": "t", "empty": "", "object": map[string]any{}, "yes": true, "nil": nil}
	for from, want := range map[string]string{"id": "7", "raw": "\x00\xff", "text": "t"} {
		if got, err := (decoded{payload: payload}).storeKey(from); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", from, got, err, want)
		}
	}
	for _, from := range []string{"empty", "object", "yes", "nil", "missing", ""} {
		if got, err := (decoded{payload: payload}).storeKey(from); !refusedAs(err, Malformed) {
			t.Errorf("%s: %q, %v; want %s", from, got, err, Malformed)
		}
	}
	if got, err := (decoded{key: []byte("k")}).storeKey(""); err != nil || string(got) != "k" {
		t.Errorf("key: %q, %v", got, err)
	}
	if got, err := (decoded{key: []byte("k")}).storeKey("id"); !refusedAs(err, Malformed) {
		t.Errorf("a path into a key: %q, %v", got, err)
	}
}

func TestStoreHash(t *testing.T) {
	t.Parallel()
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for name, want := range map[string]string{
		"": "abc", "none": "abc", "sha256-hex": abc, "sha256-b64url": "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0", "rack": "2::" + abc,
	} {
		hash, err := newStoreHash(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := hash([]byte("abc")); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	hash, err := newStoreHash("rack")
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"2::" + abc, "1::x", "123::"} {
		if got, err := hash([]byte(private)); !refusedAs(err, Malformed) {
			t.Errorf("the private id %.8s gives %q, %v", private, got, err)
		}
	}
	if _, err := newStoreHash("md5"); err == nil || !strings.Contains(err.Error(), "known: none") {
		t.Errorf("md5: %v", err)
	}
}
