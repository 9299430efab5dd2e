package auth

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fuzzDecoders are decoders of every kind and variant, and one with public keys.
func fuzzDecoders(f *testing.F) map[string]decoder {
	f.Helper()
	out := map[string]decoder{}
	for name, s := range allSealers() {
		out[name] = s.decoder(f, name, s.key(0), s.key(1))
	}
	plain, err := newDecoder("plain", decodeOptions{})
	if err != nil {
		f.Fatal(err)
	}
	out["plain"] = plain
	var v tokenVectors
	loadJSON(f, "jwt-set", &v)
	if out["jwt public"], err = newDecoder("jwt", v.options(f, v.JWKS)); err != nil {
		f.Fatal(err)
	}
	return out
}

// FuzzDecode gives any cookie to every decoder: what is refused is refused with a
// constant, what is accepted is accepted again, and only what a key has made is.
func FuzzDecode(f *testing.F) {
	decoders := fuzzDecoders(f)
	names := slices.Sorted(maps.Keys(decoders))
	for name, s := range allSealers() {
		c := s.seal(f, s.key(0), sealName, s.body, sealed)
		f.Add(uint8(slices.Index(names, name)), c.name, c.value, c.signature)
	}
	var v tokenVectors
	loadJSON(f, "jwt-set", &v)
	for _, e := range append(v.Valid, v.Invalid...) {
		f.Add(uint8(slices.Index(names, "jwt public")), "t", e.Token, "")
	}
	for vectorName, s := range settings {
		v := loadVector(f, vectorName)
		for _, e := range append(append(v.AlsoValid, v.Negative...), example{CookieHeader: v.CookieHeader}) {
			j, _ := parseCookies([]string{e.CookieHeader})
			for _, c := range j {
				f.Add(uint8(slices.Index(names, s.kind)), c.name, c.value, "")
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, name, value, signature string) {
		d := decoders[names[int(which)%len(names)]]
		c := cookie{name: name, value: value, signature: signature}
		checkDecode(t, func(now time.Time) (decoded, error) { return d.decode(c, now) }, value)
	})
}

// FuzzSealed goes behind the signature: any body, sealed as the framework would.
func FuzzSealed(f *testing.F) {
	all := allSealers()
	names := slices.Sorted(maps.Keys(all))
	decoders := map[string]decoder{}
	for i, name := range names {
		decoders[name] = all[name].decoder(f, name, all[name].key(0))
		f.Add(uint8(i), all[name].body)
		f.Add(uint8(i), []byte(`{"exp":1800000000,"a":[1,{" t":[]}]}`))
		f.Add(uint8(i), gobRecursion())
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		name := names[int(which)%len(names)]
		if len(body) > maxCookie {
			return
		}
		c := all[name].seal(t, all[name].key(0), sealName, body, sealed)
		checkDecode(t, func(now time.Time) (decoded, error) { return decoders[name].decode(c, now) }, "")
	})
}

// checkDecode runs a decoder twice and judges the answer.
func checkDecode(t *testing.T, decode func(time.Time) (decoded, error), received string) {
	t.Helper()
	d, err := decode(sealed)
	again, err2 := decode(sealed)
	if (err == nil) != (err2 == nil) || err == nil && !cmp.Equal(d, again, cmp.AllowUnexported(decoded{})) {
		t.Fatalf("twice the same cookie gives %v and %v", err, err2)
	}
	if err != nil {
		checkReason(t, err)
		if len(received) > 24 {
			checkSilent(t, err, received)
		}
		if d.key != nil || d.payload != nil {
			t.Fatal("a refused cookie gives a session")
		}
		return
	}
	if len(d.key) == 0 && d.payload == nil || len(d.key) > 0 && d.payload != nil {
		t.Fatal("neither a key nor a payload, or both")
	}
	if !d.expires.IsZero() {
		if _, err := decode(d.expires); err == nil {
			t.Fatal("accepted at its own end")
		}
	}
}

func FuzzTerm(f *testing.F) {
	f.Add(termBody)
	f.Add(append([]byte{131, 80, 0, 0, 0, 2}, pack([]byte{97, 1})...))
	f.Add([]byte{131, 110, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) { checkValue(t, data, parseTerm) })
}

func FuzzGob(f *testing.F) {
	f.Add(gobBody)
	f.Add(gobRecursion())
	f.Add(gobMapBomb())
	f.Add(columnBytes(f, scsExpired(f)))
	f.Fuzz(func(t *testing.T, data []byte) { checkValue(t, data, parseGob) })
}

func FuzzJSON(f *testing.F) {
	f.Add(objectBody)
	f.Add([]byte(`{"a":"\"[[[","b":[{"c":1e9}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { checkValue(t, data, parseJSON) })
}

// checkValue parses, and counts what came out against the limits.
func checkValue(t *testing.T, data []byte, parse func([]byte) (any, error)) {
	t.Helper()
	v, err := parse(data)
	if err != nil {
		checkReason(t, err)
		return
	}
	count := 0
	measure(t, v, 0, &count)
	// Map keys are values of their own in gobs and terms, not in JSON.
	if count > maxValues+1 {
		t.Fatalf("%d values, more than %d", count, maxValues)
	}
}

func measure(t *testing.T, v any, depth int, count *int) {
	*count++
	if depth > maxDepth+1 {
		t.Fatalf("deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			measure(t, inner, depth+1, count)
		}
	case []any:
		for _, inner := range v {
			measure(t, inner, depth+1, count)
		}
	}
}

func FuzzPayloads(f *testing.F) {
	formats := []string{"json", "scs", "django", "django-unverified", "securecookie"}
	decoders := make([]payloadDecoder, len(formats))
	for i, format := range formats {
		var err error
		if decoders[i], err = newPayloadDecoder(format, decodeOptions{secrets: ringOf(sealKey1)}); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(uint8(0), objectBody)
	f.Add(uint8(1), columnBytes(f, scsExpired(f)))
	f.Add(uint8(2), []byte(djangoCookie(sealKey1, "", djangoStoreSalt, b64url(objectBody), sealed).value))
	f.Add(uint8(4), []byte(sealSecure(f, sealKey1, sealName, gobBody, sealed).value))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		d := decoders[int(which)%len(decoders)]
		checkDecode(t, func(now time.Time) (decoded, error) { return d.decodePayload(sealName, data, now) }, "")
	})
}

func FuzzCookieHeader(f *testing.F) {
	f.Add("s=1; s.0=a; s.1=b; s.sig=x", true)
	f.Add("s.7=1; s.00=2", true)
	f.Fuzz(func(t *testing.T, header string, chunked bool) {
		j, err := parseCookies([]string{header})
		if err != nil {
			checkReason(t, err)
			return
		}
		k := kind{chunked: chunked, paired: !chunked}
		found, err := j.candidates("s", k)
		if err != nil {
			checkReason(t, err)
		}
		if len(found) > maxSameName*maxSameName+1 || len(found) > 0 && !j.present("s", k) {
			t.Fatalf("%d candidates of a header where present is %v", len(found), j.present("s", k))
		}
	})
}

func FuzzKeySet(f *testing.F) {
	var v tokenVectors
	loadJSON(f, "jwt-set", &v)
	f.Add([]byte(v.JWKS))
	f.Add([]byte(v.Rotated))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeySet(data)
		if (err == nil) != (len(set) > 0) {
			t.Fatalf("%d keys, %v", len(set), err)
		}
		for _, key := range set {
			if !key.IsPublic() || len(keyAlgorithms(key)) == 0 {
				t.Fatalf("a %T is among the public keys", key.Key)
			}
		}
	})
}
