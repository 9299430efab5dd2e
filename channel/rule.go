package channel

import (
	"fmt"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// Rule is one configured channel. Immutable once a hub has it.
type Rule struct {
	// Name is the pattern, for example orders or order/{order_id}.
	Name string
	// Schema and Table are unquoted.
	Schema, Table string
	// Columns to send, in the order of the table; nil sends all. The key is always
	// added.
	Columns []string
	// Program decides which rows are in the channel and who may see them; nil as long as
	// the table's schema is not known: subscribers then get ErrStarting.
	Program *filter.Program
	// Public: nobody needs to be signed in. Invariant: then Program reads no claims.
	Public bool
	// Loose: the replica identity need not carry the columns that Program reads. What the
	// row was is then unknown at times: a row that leaves may stay on screens.
	Loose bool
	// Snapshot is the most rows that a snapshot has; 0: the channel sends none.
	Snapshot int
	// Relation is the table as it is now; nil where it is not known. Only snapshots need it.
	Relation *change.Relation
	// Compress: streams that have only such channels may be compressed. It changes no event.
	Compress bool
	// Style of numbers in the JSON.
	Style change.Style
	// order is the rule's place in the configuration: of one change, the events of several
	// channels come in this order. Set by the hub.
	order int
	// serial tells the rule from all others that the hub has or had: one that judges alike may
	// read its snapshots in another way. Set by the hub.
	serial uint64
	// print is the fingerprint, set by the hub.
	print string
	// naming is that of the audiences; nil with parameters, where each has its own.
	naming *naming
}

// prepare is called by the hub before anybody else has the rule.
func (r *Rule) prepare() {
	r.print = r.fingerprint()
	if !strings.Contains(r.Name, "{") {
		r.naming = &naming{name: r.Name, names: []string{r.Name}, head: appendHead(nil, r.Name)}
	}
}

func (r *Rule) table() string { return r.Schema + "." + r.Table }

// fingerprint changes whenever the rule would give other events. It enters the
// view tag.
func (r *Rule) fingerprint() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q.%q %v %q %+v %v %v", r.Name, r.Schema, r.Table, r.Columns == nil, r.Columns, r.Style, r.Public, r.Loose)
	if r.Program != nil {
		fmt.Fprintf(&b, " %q", r.Program.Fingerprint())
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
