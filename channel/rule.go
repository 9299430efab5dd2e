package channel

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/walrelay/walrelay/change"
)

// Rule is one configured channel. Immutable.
type Rule struct {
	// Name is the pattern, for example orders or order/{order_id}.
	Name string
	// Schema and Table are unquoted.
	Schema, Table string
	// Columns to send, in the order of the table; nil sends all. The key is always
	// added.
	Columns []string
	// Bindings tie parameters of the name to columns: row.<Column> == params.<Param>.
	// Invariant: every parameter of Name is bound.
	Bindings []Binding
	// print is the fingerprint, set by New.
	print string
	// Style of numbers in the JSON.
	Style change.Style
}

// Binding says that a row is in the channel when Column equals the parameter.
type Binding struct {
	Column, Param string
}

// fingerprint changes whenever the rule would give other events. It enters the
// view tag.
func (r *Rule) fingerprint() string {
	if r.print != "" {
		return r.print
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q.%q %v %q %+v", r.Name, r.Schema, r.Table, r.Columns == nil, r.Columns, r.Style)
	for _, x := range r.Bindings {
		fmt.Fprintf(&b, " %q=%q", x.Column, x.Param)
	}
	return b.String()
}

// match binds a concrete name such as order/7 to the rule's pattern.
func (r *Rule) match(name string) (params map[string]string, ok bool) {
	want, got := strings.Split(r.Name, "/"), strings.Split(name, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			if got[i] == "" {
				return nil, false
			}
			if params == nil {
				params = map[string]string{}
			}
			params[strings.Trim(w, "{}")] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return params, true
}

// concrete is the pattern with values in place of the parameters, segment by
// segment: a value that looks like a parameter stays what it is.
func (r *Rule) concrete(values map[string]string) string {
	segments := strings.Split(r.Name, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = values[strings.Trim(s, "{}")]
		}
	}
	return strings.Join(segments, "/")
}

// canonical gives the text that Postgres prints for a value written as s, so
// that equal values have equal bytes.
func canonical(t *change.Type, s string) (string, error) {
	name := t.Name
	if t.Base != "" {
		name = t.Base
	}
	switch {
	case strings.ContainsRune(s, 0):
		return "", errors.New("it contains a NUL character, which no Postgres value has")
	case !utf8.ValidString(s):
		return "", errors.New("it is not UTF-8")
	case len(t.Labels) > 0:
		if !slices.Contains(t.Labels, s) {
			return "", fmt.Errorf("%q is not a label of %s", s, t.Name)
		}
		return s, nil
	case t.Kind == change.KindInt:
		return canonicalInt(name, s)
	case t.Kind == change.KindBool:
		switch s {
		case "true", "t":
			return "t", nil
		case "false", "f":
			return "f", nil
		}
		return "", fmt.Errorf("%q is not a boolean (true or false)", s)
	case name == "uuid":
		return canonicalUUID(s)
	case name == "text" || name == "character varying" || strings.HasPrefix(name, "character varying("):
		return s, nil
	}
	return "", fmt.Errorf("type %s cannot be a channel parameter (integers, text, uuid, boolean and enums can)", t.Name)
}

func canonicalInt(name, s string) (string, error) {
	bits := 64
	switch name {
	case "integer":
		bits = 32
	case "smallint":
		bits = 16
	}
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil || strings.HasPrefix(s, "+") {
		return "", fmt.Errorf("%q is not a %s", s, name)
	}
	return strconv.FormatInt(n, 10), nil
}

func canonicalUUID(s string) (string, error) {
	s = strings.ToLower(s)
	ok := len(s) == 36
	for i := 0; ok && i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			ok = s[i] == '-'
		} else {
			ok = s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
		}
	}
	if !ok {
		return "", fmt.Errorf("%q is not a uuid", s)
	}
	return s, nil
}

// CanBind reports whether a column of type t can be a channel parameter.
func CanBind(t *change.Type) error {
	if len(t.Labels) > 0 || t.Kind == change.KindInt || t.Kind == change.KindBool {
		return nil
	}
	if _, err := canonical(t, "00000000-0000-0000-0000-000000000000"); err != nil {
		return fmt.Errorf("type %s cannot be a channel parameter (integers, text, uuid, boolean and enums can)", t.Name)
	}
	return nil
}
