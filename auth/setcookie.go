package auth

import "strings"

// settable are the values of Set-Cookie that can be handed on as they are: they name a
// cookie, and no header can begin in them.
func settable(values []string) []string {
	var out []string
	for _, value := range values {
		name, _, ok := strings.Cut(value, "=")
		plain := !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		if ok && plain && strings.Trim(name, " \t") != "" {
			out = append(out, value)
		}
	}
	return out
}
