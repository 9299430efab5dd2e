package auth

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// What CheckEntry takes for a name is one for those who build from it, and the other way round.
func TestNamesOfFields(t *testing.T) {
	t.Parallel()
	for name := range kinds {
		if kindGives[name] == 0 {
			t.Errorf("decode: %s: nothing says whether it gives a key or a payload", name)
		}
	}
	if len(kindGives) != len(kinds) {
		t.Errorf("%d of %d decoders say what they give", len(kindGives), len(kinds))
	}
	for _, list := range []struct {
		names []string
		known func(name string) error
	}{
		{hashNames, func(name string) error { _, err := newStoreHash(name); return err }},
		{checkNames, func(name string) error {
			_, err := newPayloadCheck(name, ringOf("k"), "warden.user.user.key.0.0")
			return err
		}},
		{formatNames, func(name string) error {
			_, err := newPayloadDecoder(name, decodeOptions{secrets: ringOf("k")})
			return err
		}},
		{encodingNames, func(name string) error { _, err := ringOf("abcd").decoded(name); return err }},
	} {
		for _, name := range list.names {
			if err := list.known(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		err := list.known("nothing")
		for _, name := range list.names {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("the error %v does not know %s", err, name)
			}
		}
	}
}

// sampleEntry is an entry of each kind that is right.
func sampleEntry(kind string) *SessionEntry {
	e := &SessionEntry{Cookies: []string{"s"}, Decode: kind, User: "u"}
	k := kinds[kind]
	if k.secret != "" {
		e.Secrets = []string{"env:A"}
	}
	if kindGives[kind] == givesKey {
		e.Store = &Store{Schema: "public", Table: "s", Key: "k"}
	}
	if slices.Contains(k.uses, "algorithms") {
		e.Algorithms = []string{"HS256"}
	}
	if kind == "phoenix" {
		e.Salt = "s"
	}
	return e
}

// CheckEntry and the decoders agree: an entry that it lets pass is one that can be built, and
// every option that a decoder does not read is a fault of that option.
func TestCheckEntryAgreesWithDecoders(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 32)
	for kind := range kinds {
		if faults := CheckEntry(sampleEntry(kind)); len(faults) > 0 {
			t.Errorf("%s: %v", kind, faults)
		}
		for option, set := range map[string]func(*SessionEntry, *decodeOptions){
			"":           func(*SessionEntry, *decodeOptions) {},
			"salt":       func(e *SessionEntry, o *decodeOptions) { e.Salt, o.salt = "x", "x" },
			"kdf":        func(e *SessionEntry, o *decodeOptions) { e.KDF, o.kdf = "sha1", "sha1" },
			"digest":     func(e *SessionEntry, o *decodeOptions) { e.Digest, o.digest = "sha256", "sha256" },
			"issuer":     func(e *SessionEntry, o *decodeOptions) { e.Issuer, o.issuer = "i", "i" },
			"audience":   func(e *SessionEntry, o *decodeOptions) { e.Audience, o.audience = []string{"a"}, []string{"a"} },
			"max_age":    func(e *SessionEntry, o *decodeOptions) { e.MaxAge, o.maxAge = time.Hour, time.Hour },
			"encryption": func(e *SessionEntry, o *decodeOptions) { e.Encryption, o.encryption = []string{"env:B"}, ringOf(key) },
			"algorithms": func(e *SessionEntry, o *decodeOptions) {
				e.Algorithms, o.algorithms = []string{"HS512"}, []string{"HS512"}
			},
			"jwks": func(e *SessionEntry, o *decodeOptions) {
				e.JWKS, o.keys = &url.URL{Scheme: "https", Host: "id.example.com"}, keySet{}
			},
			"secrets": func(e *SessionEntry, o *decodeOptions) { e.Secrets, o.secrets = nil, nil },
		} {
			e := sampleEntry(kind)
			o := decodeOptions{salt: e.Salt, algorithms: e.Algorithms}
			if len(e.Secrets) > 0 {
				o.secrets = ringOf(key)
			}
			set(e, &o)
			faults := CheckEntry(e)
			_, err := newDecoder(kind, o)
			if (err == nil) != (len(faults) == 0) {
				t.Errorf("%s with %s: faults %v, but building says %v", kind, option, faults, err)
			}
			if len(faults) > 0 && faults[0].Key != option {
				t.Errorf("%s with %s: the fault is of %s", kind, option, faults[0].Key)
			}
		}
	}
}

func TestKeyAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"https://id.example.com/keys": true, "http://127.0.0.1:9/keys": true, "http://[::1]/keys": true, "http://localhost/k": true,
		"http://id.example.com/keys": false, "http://127.0.0.1.example.com/": false, "https:///keys": false, "file:///keys": false, "https://u:p@h/": false, "https://h/#x": false, "https://:8/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := goodKeyURL(u); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}
