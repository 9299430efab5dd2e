package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCookieFiles(t *testing.T) {
	t.Parallel()
	now := time.Unix(2000, 0)
	for name, test := range map[string]struct{ text, want, problem string }{
		"the value alone":    {text: "sid=abc", want: "sid=abc"},
		"with the name":      {text: "Cookie: a=1; sid=abc\r\n", want: "a=1; sid=abc"},
		"as HTTP/2 has it":   {text: "cookie: a=1\n\ncookie:sid=s:abc%3D;\n", want: "a=1; sid=s:abc%3D"},
		"lines":              {text: "a=1\nsid=abc; b=\n", want: "a=1; sid=abc; b="},
		"a colon in a value": {text: "sid=s:x=y", want: "sid=s:x=y"},
		"a jar": {text: "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n#HttpOnly_localhost\tFALSE\t/\tFALSE\t0\tsid\tabc\n" +
			"localhost\tFALSE\t/\tTRUE\t3000\ttab\ta\tb\nlocalhost\tFALSE\t/\tFALSE\t1000\told\tx\nlocalhost\tFALSE\t/\tFALSE\t0\tempty\t\n", want: "sid=abc; tab=a\tb; empty="},
		"a jar without a comment": {text: "localhost\tFALSE\t/\tFALSE\t0\tsid\tabc", want: "sid=abc"},
		"an expired jar":          {text: "localhost\tFALSE\t/\tFALSE\t1000\tsid\thunter2", problem: "every cookie in it has expired; sign in again"},
		"a broken jar":            {text: "# Netscape HTTP Cookie File\nlocalhost hunter2\n", problem: "line 2 has not the seven fields"},
		"a jar with a broken time": {text: "localhost\tFALSE\t/\tFALSE\thunter2\tsid\tabc",
			problem: "line 1: its fifth field is no time"},
		"an empty jar": {text: "# Netscape HTTP Cookie File\n", problem: "there is no cookie in it"},
		"nothing":      {text: " \n", problem: "there is no cookie in it"},
		"no cookie":    {text: "\nhunter2\n", problem: "line 2 is no cookie"},
	} {
		got, err := cookiesOf(test.text, now)
		switch {
		case test.problem == "" && (err != nil || got != test.want):
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
			t.Errorf("%s: %q, %v; want the error %q", name, got, err, test.problem)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error shows what is in the file: %v", name, err)
		}
	}
}

func TestReadRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cookies, headers := file("c", "sid=abc"), file("h", "authorization: Bearer x:y\nX-A: 1\n")
	r, err := readRequest(strings.NewReader(""), cookies, headers)
	if err != nil || r.Header.Get("Authorization") != "Bearer x:y" || r.Header.Get("X-A") != "1" || r.Header.Get("Cookie") != "sid=abc" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := readRequest(strings.NewReader("a=b"), "-", ""); err != nil || r.Header.Get("Cookie") != "a=b" {
		t.Errorf("standard input: %+v, %v", r, err)
	}
	if r, err := readRequest(strings.NewReader(""), "", ""); err != nil || r != nil {
		t.Errorf("no files: %+v, %v", r, err)
	}
	if _, err := readRequest(nil, filepath.Join(dir, "none"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := readRequest(nil, file("large", "a="+strings.Repeat("x", maxRequestFile)), ""); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
	for _, text := range []string{"Bearer hunter2", ": hunter2", "a b: hunter2"} {
		if _, err := readRequest(nil, "", file("bad", text)); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "line 1 is no header") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
