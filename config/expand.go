package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Env looks up an environment variable, as os.LookupEnv does. A nil Env knows
// none.
type Env func(name string) (value string, ok bool)

func (e Env) lookup(name string) (string, bool) {
	if e == nil {
		return "", false
	}
	return e(name)
}

// variable is ${NAME} or ${NAME:-default}; the default goes to the next brace.
var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\}`)

// fault is something wrong at a byte of a value.
type fault struct {
	at   int
	text string
}

// expand replaces ${NAME}, ${NAME:-default} and $$ in a value. What variables
// held is not looked at again.
func expand(s string, env Env) (string, []fault) {
	var b strings.Builder
	var faults []fault
	for at := 0; at < len(s); {
		i := strings.IndexByte(s[at:], '$')
		if i < 0 {
			b.WriteString(s[at:])
			break
		}
		b.WriteString(s[at : at+i])
		at += i
		text, n, err := dollar(s[at:], env)
		if err != "" {
			faults = append(faults, fault{at, err})
		}
		b.WriteString(text)
		at += n
	}
	return b.String(), faults
}

// dollar reads what begins with the $ at the start of s: its value and its
// length, and what is wrong with it.
func dollar(s string, env Env) (value string, n int, problem string) {
	switch {
	case strings.HasPrefix(s, "$$"):
		return "$", 2, ""
	case !strings.HasPrefix(s, "${"):
		return "$", 1, ""
	}
	m := variable.FindStringSubmatch(s)
	if m == nil {
		return "", 2, `"${" begins no variable; write ${NAME}, ${NAME:-default}, or $${ for the text itself`
	}
	value, ok := env.lookup(m[1])
	switch {
	case m[2] != "" && value == "":
		return m[3], len(m[0]), ""
	case !ok:
		return "", len(m[0]), fmt.Sprintf("the environment variable %s is not set; set it, or write ${%[1]s:-default}", m[1])
	}
	return value, len(m[0]), ""
}
