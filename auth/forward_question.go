package auth

import (
	"context"
	"net/http"
	"strings"
)

// question is the request to the application: what the entry names, and nothing else of r.
func (f *forward) question(ctx context.Context, r *http.Request, c Client) (*http.Request, error) {
	q := (&http.Request{Method: http.MethodGet, URL: f.entry.URL, Host: f.entry.URL.Host, Header: http.Header{}}).WithContext(ctx)
	if err := f.carry(q.Header, r.Header); err != nil {
		return nil, err
	}
	q.Header.Set("Accept", "application/json")
	// Without this header an answer might be in any coding.
	q.Header.Set("Accept-Encoding", "identity")
	// Some applications bind sessions to it, some refuse requests without it.
	q.Header.Set("User-Agent", userAgent(r))
	for name, value := range map[string]string{"X-Forwarded-For": c.IP, "X-Forwarded-Proto": c.Scheme, "X-Forwarded-Host": c.Host} {
		if value != "" {
			q.Header.Set(name, value)
		}
	}
	return q, nil
}

func userAgent(r *http.Request) string {
	if agent := r.UserAgent(); agent != "" {
		return agent
	}
	return "walrelay"
}

// carry copies the cookies and the token that the entry names.
func (f *forward) carry(to, from http.Header) error {
	cookies, err := f.cookies(from["Cookie"])
	if err != nil {
		return err
	}
	if cookies != "" {
		to.Set("Cookie", cookies)
	}
	if !f.entry.Bearer {
		return nil
	}
	_, present, err := bearerToken(from)
	if present && err == nil {
		to["Authorization"] = from["Authorization"]
	}
	return err
}

// cookies are the pairs that travel, byte by byte as they came and all of them: which one
// counts, or how a value is quoted, is the application's to say.
func (f *forward) cookies(headers []string) (string, error) {
	if _, err := parseCookies(headers); err != nil {
		return "", err
	}
	var out []string
	for _, header := range headers {
		for pair := range strings.SplitSeq(header, ";") {
			pair = strings.Trim(pair, " \t")
			name, _, ok := strings.Cut(pair, "=")
			if ok && f.travels(strings.TrimRight(name, " \t")) {
				out = append(out, pair)
			}
		}
	}
	return strings.Join(out, "; "), nil
}
