package channel

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// audience is a rule with its parameters bound: subscribers that the rule cannot
// tell apart. Immutable, shared between lanes.
type audience struct {
	rule *Rule
	// name is the concrete channel with its parameters in canonical form: order/7,
	// also when order/07 was asked for.
	name string
	// key is the injective encoding of the bound values in the order of
	// rule.Bindings; empty without parameters.
	key string
	// head is `{"channel":"order/7","op":"`, tail is `,"params":{…}` or empty.
	head, tail []byte
}

// newAudience binds params; types are those of the bound columns, in the order of
// r.Bindings.
func newAudience(r *Rule, asked string, params map[string]string, types []*change.Type) (*audience, error) {
	a := &audience{rule: r}
	names := map[string]string{}
	var key []byte
	for i, b := range r.Bindings {
		typ := types[i]
		value, err := canonical(typ, params[b.Param])
		if err != nil {
			return nil, &ParamError{Channel: asked, Param: b.Param, Reason: err.Error()}
		}
		key = appendKeyPart(key, []byte(value))
		names[b.Param] = shown(typ, value)
		if i == 0 {
			a.tail = append(a.tail, `,"params":{`...)
		} else {
			a.tail = append(a.tail, ',')
		}
		a.tail = append(change.AppendJSONString(a.tail, []byte(b.Param)), ':')
		a.tail = typ.AppendJSONStyle(a.tail, []byte(value), r.Style)
	}
	if len(r.Bindings) > 0 {
		a.tail = append(a.tail, '}')
	}
	a.key, a.name = string(key), r.concrete(names)
	a.head = append(change.AppendJSONString([]byte(`{"channel":`), []byte(a.name)), `,"op":"`...)
	return a, nil
}

// shown is the form of a canonical value within a channel's name.
func shown(t *change.Type, value string) string {
	if t.Kind != change.KindBool {
		return value
	}
	if value == "t" {
		return "true"
	}
	return "false"
}

// appendKeyPart adds one value to a hash key; lengths make the key injective.
func appendKeyPart(dst, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// view is a set of audiences: every subscriber of a view gets the same events.
// Immutable.
type view struct {
	audiences  []*audience // sorted by name
	tag        string
	generation uint32 // of the log that the tag is for
	key        string
	users      int // subscribers; guarded by Hub.mu
}

// viewKey identifies a view within a hub.
func viewKey(audiences []*audience, generation uint32) string {
	var b strings.Builder
	fmt.Fprint(&b, generation, "\x00")
	for _, a := range audiences {
		b.WriteString(a.name)
		b.WriteByte(0)
	}
	return b.String()
}

func newView(key string, audiences []*audience, lin eventlog.Lineage) *view {
	return &view{audiences: audiences, tag: viewTag(audiences, lin), generation: lin.Generation, key: key}
}

// viewTag is the short hash at the end of an event id: lineage, rules and
// parameters. 30 bits; a client that returns with another tag cannot be resumed
// exactly. The timeline is the one on which the generation began: a clean promotion
// goes on in the same lineage, any other begins a new one.
func viewTag(audiences []*audience, lin eventlog.Lineage) string {
	h := sha256.New()
	h.Write([]byte(lin.SystemID))
	h.Write(binary.BigEndian.AppendUint32(nil, lin.Born))
	h.Write(binary.BigEndian.AppendUint32(nil, lin.Generation))
	for _, a := range audiences {
		h.Write(appendKeyPart(nil, []byte(a.rule.fingerprint())))
		h.Write(appendKeyPart(nil, []byte(a.key)))
	}
	return tagEncoding.EncodeToString(h.Sum(nil)[:5])[:tagLen]
}

const tagLen = 6

var tagEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func sortAudiences(as []*audience) []*audience {
	slices.SortFunc(as, func(a, b *audience) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(as, func(a, b *audience) bool { return a.name == b.name })
}
