package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/walrelay/walrelay/change"
)

// tortureOracle reads the database's own account, round by round, from a slot of its
// own, and keeps the events of the channels that somebody has.
type tortureOracle struct {
	db      *database
	slot    string
	seen    change.Position // everything up to here has been read
	numbers map[string]int  // of channels
	byRule  map[*tortureRule][]string
}

// tortureChange is one change as the database recorded it.
type tortureChange struct {
	at     change.Position
	events []numberedEvent
}

type numberedEvent struct {
	channel int
	text    string
}

// newTortureOracle begins here; the publication of the database must exist.
func newTortureOracle(t testing.TB, db *database) *tortureOracle {
	t.Helper()
	o := newOracle(t, db)
	return &tortureOracle{db: db, slot: o.slot, numbers: map[string]int{}, byRule: map[*tortureRule][]string{}}
}

// number of a channel, which somebody has from now on.
func (o *tortureOracle) number(channel string) int {
	n, ok := o.numbers[channel]
	if !ok {
		n = len(o.numbers)
		o.numbers[channel] = n
		r := ruleOfChannel(channel)
		o.byRule[r] = append(o.byRule[r], channel)
	}
	return n
}

// read gives everything since the last time, and counts transactions and changes. The
// slot is advanced, so that nothing is held for longer than a round.
func (o *tortureOracle) read(t testing.TB) (changes []tortureChange, transactions, total int) {
	t.Helper()
	conn, err := o.db.cluster.ConnTo(t.Context(), o.db.name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `select data from pg_logical_slot_get_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', $2, 'messages', 'true')`, o.slot, o.db.name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	d := oracleDecoder{relations: map[uint32]*pglogrepl.RelationMessage{}}
	for rows.Next() {
		if err := d.message(rows.RawValues()[0]); err != nil {
			t.Fatal(err)
		}
		for i := range d.out {
			c := &d.out[i]
			if c.at.Compare(o.seen) <= 0 { // a crash took the slot back to where it was last written to disk
				continue
			}
			if c.at.Commit != o.seen.Commit {
				transactions++
			}
			total++
			o.seen = c.at
			if events := o.events(c); len(events) > 0 {
				changes = append(changes, tortureChange{c.at, events})
			}
		}
		d.out = d.out[:0]
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return changes, transactions, total
}

// events of one change, in the order of the configuration.
func (o *tortureOracle) events(c *recorded) (out []numberedEvent) {
	add := func(e tortureEventOf) {
		if n, ok := o.numbers[e.channel]; ok {
			out = append(out, numberedEvent{n, e.text})
		}
	}
	switch c.op {
	case "message":
		name := strings.TrimPrefix(c.table, "walrelay:")
		if r := ruleOfChannel(name); r != nil && name != c.table {
			add(tortureEventOf{name, r.message(name, c)})
		}
	case "truncate":
		for _, r := range tortureRules {
			if slices.Contains(c.truncated, r.table) {
				for _, name := range o.byRule[r] {
					add(tortureEventOf{name, fmt.Sprintf(`reset {"channel":%q,"reason":"truncate"}`, name)})
				}
			}
		}
	default:
		for _, r := range tortureRules {
			if r.table == c.table {
				for _, e := range r.events(c) {
					add(e)
				}
			}
		}
	}
	return out
}

// sortResets brings the resets of one position, which come in any order, into one
// order.
func sortResets(events []string) {
	for _, text := range events {
		if !strings.HasPrefix(text, "reset ") {
			return
		}
	}
	slices.Sort(events)
}

// want are the events of a stretch for a subscriber that has these channels.
func (st *stretch) want(has []bool, changes []tortureChange) (out []expected) {
	var texts []string
	for i := range changes {
		c := &changes[i]
		if c.at.Compare(st.from) <= 0 || st.to.Less(c.at) {
			continue
		}
		texts = texts[:0]
		for _, e := range c.events {
			if has[e.channel] {
				texts = append(texts, e.text)
			}
		}
		sortResets(texts)
		for i, text := range texts {
			out = append(out, expected{at: c.at, last: i == len(texts)-1, text: text})
		}
	}
	return out
}

// verdict is how a sequence differs from the oracle's, at the first place.
type verdict struct {
	what      string // gap, duplicate or wrong order
	at        int    // in both
	got, want []expected
}

// compare gives nil when there is no difference.
func compare(got, want []expected) *verdict {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	v := &verdict{at: n, got: got, want: want}
	has := func(list []expected, e expected) bool { return slices.Contains(list, e) }
	switch {
	case n == len(got) && n == len(want):
		return nil
	case n < len(got) && has(got[:n], got[n]):
		v.what = "duplicate"
	case n < len(want) && !has(got[n:], want[n]):
		v.what = "gap"
	default:
		v.what = "wrong order"
	}
	return v
}

// String shows the place with what is around it.
func (v *verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: event %d is the first that differs (%d came, %d were committed)\n", v.what, v.at, len(v.got), len(v.want))
	show := func(mark string, list []expected, from, to int) {
		for i := max(from, 0); i < min(to, len(list)); i++ {
			fmt.Fprintf(&b, "  %s %4d %s last=%v %.160s\n", mark, i, list[i].at, list[i].last, list[i].text)
		}
	}
	show("     ", v.got, v.at-2, v.at)
	show("want ", v.want, v.at, v.at+3)
	show("got  ", v.got, v.at, v.at+3)
	return b.String()
}
