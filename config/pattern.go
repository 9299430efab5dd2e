package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	literalForm = regexp.MustCompile(`^[a-z0-9_-]+$`)
	paramForm   = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// parsePattern cuts a channel's name into its parts. The error is a
// *placedError.
func parsePattern(name string) ([]Segment, error) {
	var segments []Segment
	seen := map[string]bool{}
	at := 0
	for _, part := range strings.Split(name, "/") {
		seg, err := parseSegment(part)
		if err == nil && seg.Param != "" && seen[seg.Param] {
			err = &placedError{0, fmt.Errorf("{%s} stands twice in the channel's name", seg.Param)}
		}
		if err != nil {
			err.at += at
			return nil, err
		}
		seen[seg.Param] = true
		segments = append(segments, seg)
		at += len(part) + 1
	}
	return segments, nil
}

// placedError is an error at a byte of a value.
type placedError struct {
	at int
	error
}

func parseSegment(part string) (Segment, *placedError) {
	if literalForm.MatchString(part) {
		return Segment{Literal: part}, nil
	}
	if m := paramForm.FindStringSubmatch(part); m != nil {
		return Segment{Param: m[1]}, nil
	}
	switch at := strings.IndexFunc(part, isForeign); {
	case part == "":
		return Segment{}, &placedError{0, errors.New("a part of the channel's name is empty")}
	case strings.ContainsAny(part, "{}"):
		return Segment{}, &placedError{0, fmt.Errorf("%q: a parameter is {name}, with letters, digits and _, and fills the whole part between slashes", part)}
	default:
		return Segment{}, &placedError{at, errors.New(`a channel's name has a-z, 0-9, "_" and "-", in parts joined by "/", and parameters such as {id}`)}
	}
}

func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}

// overlap gives a name that both patterns match, with ... for parts that can be
// anything; ok is false when there is none.
func overlap(a, b []Segment) (example string, ok bool) {
	if len(a) != len(b) {
		return "", false
	}
	parts := make([]string, len(a))
	for i := range a {
		switch {
		case a[i].Param != "" && b[i].Param != "":
			parts[i] = "..."
		case a[i].Param != "":
			parts[i] = b[i].Literal
		case b[i].Param != "" || a[i].Literal == b[i].Literal:
			parts[i] = a[i].Literal
		default:
			return "", false
		}
	}
	return strings.Join(parts, "/"), true
}

// Match finds the channel that a concrete name such as order/7 belongs to, with the
// parameters in it as they stand there; nil when there is none.
func (c *Config) Match(name string) (ch *Channel, params map[string]string) {
	parts := strings.Split(name, "/")
	for i := range c.Channels {
		if params, ok := match(c.Channels[i].Pattern, parts); ok {
			return &c.Channels[i], params
		}
	}
	return nil, nil
}

func match(pattern []Segment, parts []string) (params map[string]string, ok bool) {
	if len(pattern) != len(parts) {
		return nil, false
	}
	params = map[string]string{}
	for i, s := range pattern {
		switch {
		case parts[i] == "" || s.Param == "" && s.Literal != parts[i]:
			return nil, false
		case s.Param != "":
			params[s.Param] = parts[i]
		}
	}
	return params, true
}
