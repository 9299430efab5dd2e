package auth

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// most is what one hostile value may make us allocate, all together. 256 KiB of
// payload are at most 16384 values.
const most = 4 << 20

// allocated measures f alone: the test must not be parallel.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileAllocations: bombs that a signature is no protection from (a leaked key,
// a column, an envelope around the MAC) cost bounded memory.
func TestHostileAllocations(t *testing.T) {
	bomb := bytes.Repeat([]byte{' '}, 4<<20)
	bodies := map[string][]byte{
		"zeroes":        make([]byte, 12<<10),
		"brackets":      bytes.Repeat([]byte{'['}, 12<<10),
		"objects":       []byte(strings.Repeat(`{"a":`, 2400)),
		"values":        []byte(`{"a":[` + strings.Repeat("0,", 5000) + `0]}`),
		"empty values":  []byte(`{"a":[` + strings.Repeat("{},", 3000) + `0]}`),
		"quotes":        bytes.Repeat([]byte{'"'}, 12<<10),
		"backslashes":   append([]byte(`{"a":"`), bytes.Repeat([]byte{'\\'}, 12<<10)...),
		"number":        []byte(`{"a":1e` + strings.Repeat("9", 12000) + `}`),
		"gob map":       gobMapBomb(),
		"gob recursion": append(gobRecursion(), bytes.Repeat([]byte{1}, 8000)...),
		"term":          append([]byte{131, termMap, 0, 0, 0x10, 0}, bytes.Repeat([]byte{termBinary, 0, 0, 0, 0, termNil}, 1000)...),
		"term tuples":   append([]byte{131, termLargeTuple, 0, 0, 0x20, 0}, bytes.Repeat([]byte{termNil}, 0x2000)...),
	}
	for name, s := range allSealers() {
		d := s.decoder(t, name, s.key(0))
		if strings.Contains(name, "packed") {
			bodies["bomb"] = bomb
		}
		for what, body := range bodies {
			c := s.seal(t, s.key(0), sealName, body, sealed)
			if got := allocated(func() { _, _ = d.decode(c, sealed) }); got > most {
				t.Errorf("%s of %s allocates %d bytes, more than %d", name, what, got, most)
			}
		}
		delete(bodies, "bomb")
	}
}

// gobMapBomb is a map of maps of maps, each of which announces as many entries as
// there are bytes.
func gobMapBomb() []byte {
	const id = 65
	data := []byte{12, 0xff, 2*id - 1, 4, 1, 2, 0xff, 2 * id, 0, 1, 12, 1, 0xff, 2 * id, 0, 0, 0xff, 3, 0xff, 2 * id, 0}
	for range 3000 {
		data = append(data, 0xfe, 0x10, 0x00, 1, 'k')
	}
	return data
}

// TestHostilePayloadAllocations is the same for columns, which are longer.
func TestHostilePayloadAllocations(t *testing.T) {
	long := maxInflated - 64
	values := map[string][]byte{
		"zeroes":   make([]byte, long),
		"brackets": bytes.Repeat([]byte{'['}, long),
		"values":   []byte(`{"a":[` + strings.Repeat("0,", maxValues-10) + `0]}`),
		"objects":  []byte(`{"a":[` + strings.Repeat(`{"b":0},`, maxValues/2-10) + `0]}`),
		"too many": []byte(`{"a":[` + strings.Repeat("0,", long/2-10) + `0]}`),
		"gob map":  bytes.Repeat(gobMapBomb(), 16),
		"fields":   gobFields(65535),
		"django":   []byte("." + b64url(pack(bytes.Repeat([]byte{' '}, 6<<20))) + ":1:x"),
		"colons":   bytes.Repeat([]byte{':'}, long),
	}
	for _, format := range []string{"json", "scs", "django", "django-unverified", "securecookie"} {
		d, err := newPayloadDecoder(format, decodeOptions{secrets: ringOf(sealKey1)})
		if err != nil {
			t.Fatal(err)
		}
		for what, data := range values {
			if got := allocated(func() { _, _ = d.decodePayload(sealName, data, sealed) }); got > most {
				t.Errorf("%s of %s allocates %d bytes, more than %d", format, what, got, most)
			}
		}
	}
}

// TestHostileHeaderAllocations: the longest Cookie headers.
func TestHostileHeaderAllocations(t *testing.T) {
	var chunks strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&chunks, "s.%d=;", i%8)
	}
	for name, header := range map[string]string{
		"pairs": strings.Repeat("s=;", maxCookieHeader/3), "different": strings.Repeat("a=b;", maxCookieHeader/4), "chunks": chunks.String(),
		"semicolons": strings.Repeat(";", maxCookieHeader), "one": "s=" + strings.Repeat("%", maxCookieHeader-2),
	} {
		got := allocated(func() {
			j, err := parseCookies([]string{header})
			if err == nil {
				_, _ = j.candidates("s", kinds["supabase"])
			}
		})
		if got > most {
			t.Errorf("a header of %s allocates %d bytes, more than %d", name, got, most)
		}
	}
}
