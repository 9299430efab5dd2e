package channel

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// audience is a rule with user and parameters bound: subscribers that the rule cannot
// tell apart. Immutable, shared between lanes.
type audience struct {
	rule    *Rule
	binding *filter.Binding
	*naming
	// id is the same for bindings of the rule that no row can tell apart, see audienceID.
	id string
}

// naming is what the audiences of one concrete channel have in common: all audiences of a rule
// without parameters share one.
type naming struct {
	// name is the concrete channel with its parameters in canonical form: order/7,
	// also when order/07 was asked for.
	name string
	// names is name alone.
	names []string
	// head is `{"channel":"order/7","op":"`, tail is `,"params":{…}` or empty.
	head, tail []byte
}

// newAudience binds user and parameters. Errors: *ParamError, *RefusedError.
func newAudience(r *Rule, asked string, user *filter.Claims, params map[string]string) (*audience, error) {
	b, err := r.Program.Bind(user, params)
	if err != nil {
		return nil, bindError(asked, err)
	}
	a := &audience{rule: r, binding: b, naming: r.naming}
	if a.naming == nil {
		a.naming = boundNaming(r, b.Params())
	}
	a.id = audienceID(b.Group(), a.name)
	return a, nil
}

// audienceID tells audiences of a rule apart. There may be very many: a text that is not shorter than
// a hash is replaced by it.
func audienceID(group, name string) string {
	id := appendKeyPart([]byte(group), []byte(name))
	if len(id) >= sha256.Size {
		sum := sha256.Sum256(id)
		id = sum[:]
	}
	return string(id)
}

// boundNaming is what the parameters decide.
func boundNaming(r *Rule, params []filter.ParamValue) *naming {
	a := &naming{}
	names := map[string]string{}
	for i, p := range params {
		names[p.Name] = shown(p)
		sep := byte(',')
		if i == 0 {
			a.tail, sep = append(a.tail, `,"params":`...), '{'
		}
		a.tail = change.AppendJSONString(append(a.tail, sep), []byte(p.Name))
		a.tail = appendParam(append(a.tail, ':'), p, r.Style)
	}
	a.tail = append(a.tail, '}')
	a.name = r.concrete(names)
	a.names = []string{a.name}
	a.head = appendHead(nil, a.name)
	return a
}

func appendHead(dst []byte, name string) []byte {
	return append(change.AppendJSONString(append(dst, `{"channel":`...), []byte(name)), `,"op":"`...)
}

// shown is the form of a parameter within a channel's name.
func shown(p filter.ParamValue) string {
	if p.Type.Class != filter.ClassBool {
		return p.Text
	}
	return boolText(p.Text)
}

func boolText(text string) string {
	if text == "t" {
		return "true"
	}
	return "false"
}

// appendParam writes a parameter as the column that it is compared with would be.
func appendParam(dst []byte, p filter.ParamValue, style change.Style) []byte {
	switch p.Type.Class {
	case filter.ClassBool:
		return append(dst, boolText(p.Text)...)
	case filter.ClassNumber:
		asText := style.BigintString && p.Type.Name == "bigint" || style.NumericString && p.Type.Name == "numeric"
		if !asText && strings.Trim(p.Text, "-0123456789.") == "" {
			return append(dst, p.Text...)
		}
	}
	return change.AppendJSONString(dst, []byte(p.Text))
}

func bindError(asked string, err error) error {
	var param *filter.ParamError
	var refused *filter.RefusedError
	switch {
	case errors.As(err, &param):
		return &ParamError{Channel: asked, Param: param.Param, Reason: param.Reason}
	case errors.As(err, &refused):
		return &RefusedError{Channel: asked, Expr: refused.Expr}
	}
	return err
}

// appendKeyPart adds one value to a hash key; lengths make the key injective.
func appendKeyPart(dst, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func sortAudiences(as []*audience) []*audience {
	slices.SortFunc(as, func(a, b *audience) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(as, func(a, b *audience) bool { return a.name == b.name })
}
