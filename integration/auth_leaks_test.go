package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// leaks knows everything that walrelay must keep to itself, and everything that the
// walrelays of this run have written, metrics and profiles included. [TestMain] looks for
// the one in the other when all tests are over.
var leaks leakWatch

// leakWatch collects secrets and texts. Safe for concurrent use.
type leakWatch struct {
	mu      sync.Mutex
	secrets map[string]string // what it is, by its text in every spelling
	texts   []watchedText
}

// watchedText is what somebody has written; it may still grow.
type watchedText struct {
	name string
	text fmt.Stringer
}

// shortestSecret bounds secrets from below: shorter ones are found anywhere.
const shortestSecret = 8

// secret says that nobody may write these values. kind says what they are, for messages.
func (w *leakWatch) secret(t testing.TB, kind string, values ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, value := range values {
		if len(value) < shortestSecret {
			t.Fatalf("the %s of %d bytes is too short to be looked for", kind, len(value))
		}
		w.add(kind, value)
		w.add(kind, url.QueryEscape(value))
		w.add(kind, strings.Trim(fmt.Sprintf("%q", value), `"`))
		if plain, err := url.QueryUnescape(value); err == nil {
			w.add(kind, plain)
		}
	}
}

func (w *leakWatch) add(kind, value string) {
	if w.secrets == nil {
		w.secrets = map[string]string{}
	}
	w.secrets[value] = kind
}

// cookie is secret for a whole cookie and for its parts: an id and its signature.
func (w *leakWatch) cookie(t testing.TB, value string) {
	t.Helper()
	w.secret(t, "cookie", value)
	plain, err := url.QueryUnescape(value)
	if err != nil {
		plain = value
	}
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(plain, "s:"), func(r rune) bool { return r == '.' }) {
		if len(part) >= 2*shortestSecret { // what is shorter is a time or a version
			w.secret(t, "part of a cookie", part)
		}
	}
}

// watch collects what somebody writes.
func (w *leakWatch) watch(name string, text fmt.Stringer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, watchedText{name, text})
}

// fixed is a text that does not grow.
type fixed string

func (f fixed) String() string { return string(f) }

// check looks for all secrets in all texts. So that it cannot pass by looking at nothing,
// it must find a value that it plants, and lines that only debug level has.
func (w *leakWatch) check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.secrets) == 0 {
		return nil // no test of this run had any
	}
	const planted = "planted-7f0c9ad3be"
	w.add("planted value", planted)
	find, debug := w.finder(), false
	var errs []error
	for _, text := range w.texts {
		all := text.text.String()
		debug = debug || strings.Contains(all, "level=DEBUG")
		for _, found := range find(all) {
			errs = append(errs, fmt.Errorf("%s has %s", text.name, found))
		}
	}
	if got := find("a line with cookie=" + url.QueryEscape(planted) + " in it"); len(got) != 1 {
		errs = append(errs, fmt.Errorf("the search for secrets finds %q where one was planted", got))
	}
	if !debug {
		errs = append(errs, fmt.Errorf("none of %d texts has debug lines", len(w.texts)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%d texts were searched for %d secrets: %w", len(w.texts), len(w.secrets), err)
	}
	return nil
}

// finder gives a search for all secrets there are now: it tells each one that a text has
// once, with the line.
func (w *leakWatch) finder() func(text string) []string {
	byPrefix := map[string][]string{}
	for value := range w.secrets {
		prefix := value[:shortestSecret]
		byPrefix[prefix] = append(byPrefix[prefix], value)
	}
	kinds := w.secrets
	return func(text string) (out []string) {
		var seen []string
		for at := 0; at+shortestSecret <= len(text); at++ {
			for _, value := range byPrefix[text[at:at+shortestSecret]] {
				if strings.HasPrefix(text[at:], value) && !slices.Contains(seen, value) {
					seen = append(seen, value)
					out = append(out, fmt.Sprintf("a %s, %q, in %q", kinds[value], value, lineAround(text, at)))
				}
			}
		}
		return out
	}
}

// lineAround is the line of a text that has the byte at, or enough of it.
func lineAround(text string, at int) string {
	const enough = 300
	from := max(strings.LastIndexByte(text[:at], '\n')+1, at-enough)
	line := text[from:min(at+enough, len(text))]
	line, _, _ = strings.Cut(line, "\n")
	return line
}

// wantNotOnDisk checks that no file below dir has a secret, and that some file has what
// is no secret: otherwise the search would mean nothing.
func (w *leakWatch) wantNotOnDisk(t testing.TB, dir, control string) {
	t.Helper()
	w.mu.Lock()
	find := w.finder()
	w.mu.Unlock()
	controlled := control == ""
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		controlled = controlled || strings.Contains(string(data), control)
		for _, found := range find(string(data)) {
			t.Errorf("%s has %s", path, found)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if !controlled {
		t.Errorf("no file in %s has %q: nothing is said by their having no secrets", dir, control)
	}
}

// The search finds what it should, in every spelling, and nothing else.
func TestLeakWatch(t *testing.T) {
	t.Parallel()
	var w leakWatch
	w.cookie(t, "s%3AabcdefghijklmnopQR.c2lnbmF0dXJlIG9mIGl0")
	w.secret(t, "password", "correct horse")
	find := w.finder()
	for text, want := range map[string]int{
		"":                       0,
		"short":                  0,
		"nothing of this kind":   0,
		"abcdefghijklmnopQ":      0,
		"sid=abcdefghijklmnopQR": 1,
		"abcdefghijklmnopQR and again abcdefghijklmnopQR":           1,
		"Cookie: s%3AabcdefghijklmnopQR.c2lnbmF0dXJlIG9mIGl0\nnext": 3, // the whole and both parts
		"sig c2lnbmF0dXJlIG9mIGl0":                                  1,
		"?password=correct+horse":                                   1,
		"correct horse":                                             1,
	} {
		if got := find(text); len(got) != want {
			t.Errorf("%q: found %q, want %d", text, got, want)
		}
	}
	w.watch("a log", fixed("level=DEBUG msg=x"))
	if err := w.check(); err != nil {
		t.Error(err)
	}
	w.watch("another log", fixed("panic: correct horse\n\ngoroutine 1"))
	if err := w.check(); err == nil || !strings.Contains(err.Error(), "another log has a password") {
		t.Errorf("got %v", err)
	}
	var silent leakWatch
	silent.secret(t, "password", "correct horse")
	silent.watch("a log", fixed("level=INFO msg=x"))
	if err := silent.check(); err == nil || !strings.Contains(err.Error(), "debug") {
		t.Errorf("a log without debug lines: %v", err)
	}
}
