package auth

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// strict refuses padding bits that are not zero: a value has one spelling.
var (
	stdBase64 = base64.StdEncoding.Strict()
	rawBase64 = base64.RawStdEncoding.Strict()
	urlBase64 = base64.RawURLEncoding.Strict()
)

// unbase64 decodes text. Package base64 skips line ends even when strict.
func unbase64(encoding *base64.Encoding, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, refuse(Malformed, "a part is not base64")
	}
	out, err := encoding.DecodeString(text)
	if err != nil {
		return nil, refuse(Malformed, "a part is not base64")
	}
	return out, nil
}

// unescape undoes the percent-encoding that most frameworks give their cookies.
func unescape(value string) (string, error) {
	if !strings.Contains(value, "%") {
		return value, nil
	}
	out, err := url.PathUnescape(value)
	if err != nil {
		return "", refuse(Malformed, "the percent-encoding is wrong")
	}
	return out, nil
}

// cutLast splits text at the last separator.
func cutLast(text, separator string) (before, after string, ok bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
