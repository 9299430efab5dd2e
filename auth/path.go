package auth

import (
	"encoding/json"
	"strconv"
	"strings"
)

// textOf is a scalar as text: strings, binaries and numbers. It is what a map key is
// called and what is compared with a column.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// at finds a value in a payload by a path such as passport.user or roles.0. Names may
// have dots themselves (warden.user.user.key.0.0): the longest name that leads to a
// value wins. Path comes from the configuration, so that its length is harmless.
func at(payload any, path string) (any, bool) {
	if path == "" {
		return payload, true
	}
	switch v := payload.(type) {
	case map[string]any:
		return atName(v, path)
	case []any:
		first, rest, _ := strings.Cut(path, ".")
		i, err := strconv.Atoi(first)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return at(v[i], rest)
	}
	return nil, false
}

func atName(object map[string]any, path string) (any, bool) {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		inner, ok := object[path[:end]]
		if !ok {
			continue
		}
		if v, ok := at(inner, strings.TrimPrefix(path[end:], ".")); ok {
			return v, true
		}
	}
	return nil, false
}

// storeKey is what is looked up in the store: the decoded key or, of cookies that hold
// an object, the value at the path `from`.
func (d decoded) storeKey(from string) ([]byte, error) {
	if d.key != nil {
		if from != "" {
			return nil, refuse(Malformed, "it holds a key, not an object with the path that `from` names")
		}
		return d.key, nil
	}
	v, ok := at(d.payload, from)
	if ok {
		if text, ok := textOf(v); ok && text != "" {
			return []byte(text), nil
		}
	}
	return nil, refuse(Malformed, "the path that `from` names leads to no key")
}
