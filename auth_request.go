package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxRequestFile bounds a file of cookies or headers.
const maxRequestFile = 1 << 20

// readRequest makes a request of files with cookies and headers, "-" for stdin; nil when both
// are empty. Errors name files and lines, and quote nothing of them.
func readRequest(stdin io.Reader, cookieFile, headerFile string) (*http.Request, error) {
	if cookieFile == "" && headerFile == "" {
		return nil, nil
	}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	if headerFile != "" {
		text, err := readAll(stdin, headerFile)
		if err != nil {
			return nil, err
		}
		if err := addHeaders(r.Header, text); err != nil {
			return nil, fmt.Errorf("%s: %w", headerFile, err)
		}
	}
	if cookieFile != "" {
		text, err := readAll(stdin, cookieFile)
		if err != nil {
			return nil, err
		}
		cookies, err := cookiesOf(text, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cookieFile, err)
		}
		r.Header.Add("Cookie", cookies)
	}
	return r, nil
}

func readAll(stdin io.Reader, file string) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxRequestFile+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxRequestFile:
		return "", fmt.Errorf("%s: larger than 1 MiB", file)
	}
	return string(text), nil
}

// addHeaders adds lines such as Authorization: Bearer …
func addHeaders(h http.Header, text string) error {
	for n, line := range lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return fmt.Errorf("line %d is no header: write Name: value (what stands there is not shown)", n+1)
		}
		h.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	return nil
}

// cookiesOf is the Cookie header of a text: a cookie jar as curl and wget write it, or the
// header itself, with or without its name.
func cookiesOf(text string, now time.Time) (string, error) {
	if isJar(text) {
		return jarCookies(text, now)
	}
	var parts []string
	for n, line := range lines(text) {
		name, value, named := strings.Cut(line, ":")
		if named && strings.EqualFold(strings.TrimSpace(name), "cookie") {
			line = value
		}
		line = strings.Trim(line, " \t;")
		if !strings.Contains(line, "=") {
			return "", fmt.Errorf("line %d is no cookie: write name=value; name=value (what stands there is not shown)", n+1)
		}
		parts = append(parts, line)
	}
	if len(parts) == 0 {
		return "", errors.New("there is no cookie in it")
	}
	return strings.Join(parts, "; "), nil
}

// isJar tells Netscape's format: seven fields, divided by tabs.
func isJar(text string) bool {
	for line := range strings.Lines(text) {
		if strings.Count(line, "\t") >= 6 || strings.Contains(line, "HTTP Cookie File") {
			return true
		}
	}
	return false
}

const httpOnly = "#HttpOnly_"

// jarCookies are the cookies of a jar that a browser would still send, whatever their site.
func jarCookies(text string, now time.Time) (string, error) {
	var parts []string
	expired := false
	for n, line := range lines(text) {
		line, only := strings.CutPrefix(line, httpOnly)
		if !only && strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, "\t", 7)
		if len(fields) < 6 {
			return "", fmt.Errorf("line %d has not the seven fields of a cookie jar (what stands there is not shown)", n+1)
		}
		end, err := strconv.ParseInt(fields[4], 10, 64)
		if err != nil {
			return "", fmt.Errorf("line %d: its fifth field is no time (what stands there is not shown)", n+1)
		}
		if end > 0 && end <= now.Unix() {
			expired = true
			continue
		}
		parts = append(parts, fields[5]+"="+strings.Join(fields[6:], ""))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; "), nil
	case expired:
		return "", errors.New("every cookie in it has expired; sign in again")
	}
	return "", errors.New("there is no cookie in it")
}

// lines are the lines of a text that are not empty, by their number from 0.
func lines(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		s := bufio.NewScanner(strings.NewReader(text))
		s.Buffer(nil, maxRequestFile+1)
		for n := 0; s.Scan(); n++ {
			if line := strings.TrimRight(s.Text(), "\r"); strings.TrimSpace(line) != "" && !yield(n, line) {
				return
			}
		}
	}
}
