package replication

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// The tables of these tests; items is that of testReceiver.
const (
	items    = uint32(7)
	sessions = uint32(8)  // private, watched
	members  = uint32(9)  // logged, watched
	others   = uint32(10) // not in the target
)

func rowOf(op byte, oid uint32, tuples ...any) []byte {
	return xlog(append([]any{op, oid}, tuples...)...)
}

func truncated(oids ...uint32) []byte {
	parts := []any{byte('T'), uint32(len(oids)), byte(1)}
	for _, oid := range oids {
		parts = append(parts, oid)
	}
	return xlog(parts...)
}

// watch notes what it sees, and calls also with each.
type watch struct {
	lines []string
	also  func(*change.Change)
}

func (w *watch) Observe(c *change.Change) {
	w.lines = append(w.lines, tell(c))
	if w.also != nil {
		w.also(c)
	}
}

func tell(c *change.Change) string {
	line := fmt.Sprintf("%s %d %s", c.Position, c.Tx.XID, c.Op)
	if c.Relation != nil {
		line += fmt.Sprintf(" %s new %d old %d%s", c.Relation.Name, len(c.New), len(c.Old), strings.TrimRight(string(rune(c.OldKind)), "\x00"))
	}
	if c.Op != change.Truncate { // the rest is that of the last one
		return line
	}
	for _, rel := range c.Truncated {
		line += " " + rel.Name
	}
	if c.Cascade {
		line += " cascade"
	}
	return line
}

// watchedReceiver has all four tables. all: every one is logged.
func watchedReceiver(have change.Position, w *watch, all bool, messages ...[]byte) (*receiver, *inflow) {
	r, f := testReceiver(have, messages...)
	r.watcher = w
	for oid, table := range map[uint32]struct {
		name string
		role role
	}{sessions: {"sessions", role{watched: true}}, members: {"members", role{watched: true, logged: true}}, others: {"others", role{}}} {
		rel := *r.relations.byOID[items].Relation
		rel.OID, rel.Name = oid, table.name
		table.role.logged = table.role.logged || all
		r.relations.byOID[oid] = &relation{&rel, table.role}
	}
	return r, f
}

func (r *receiver) play(t *testing.T) {
	t.Helper()
	if err := r.run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
}

func logged(t *testing.T, b *change.Batch) (lines []string) {
	t.Helper()
	if b == nil {
		return nil
	}
	var reader change.Reader
	var c change.Change
	for reader.Reset(b); reader.Next(&c); {
		lines = append(lines, tell(&c))
	}
	if reader.Err() != nil {
		t.Fatal(reader.Err())
	}
	return lines
}

// Private tables only take indices in the log: what it has of others is what it would have
// if all were logged. The watcher gets what is watched, as received.
func TestPrivateTables(t *testing.T) {
	row := itemTuple(1)
	messages := [][]byte{
		begin(0x100),
		rowOf('I', sessions, byte('N'), row),
		rowOf('I', items, byte('N'), row),
		rowOf('U', sessions, byte('K'), row, byte('N'), row),
		rowOf('D', others, byte('K'), row),
		rowOf('U', members, byte('N'), row),
		truncated(items, sessions, others, members),
		truncated(sessions, others),
		truncated(others),
		xlog(byte('M'), byte(1), uint64(0), "walrelay:x", uint32(2), []byte("{}")),
		rowOf('D', sessions, byte('O'), row),
		commit(0x100, 0x110),
		begin(0x200), rowOf('D', sessions, byte('K'), row), commit(0x200, 0x210),
		begin(0x300), insertItem(2), commit(0x300, 0x310),
	}
	var w watch
	r, f := watchedReceiver(change.Position{}, &w, false, messages...)
	r.play(t)
	batch := f.take(time.Now(), false)
	n := len(row)
	want := []string{
		fmt.Sprintf("0/100.0 771 insert sessions new %d old 0", n),
		fmt.Sprintf("0/100.2 771 update sessions new %d old %dK", n, n),
		fmt.Sprintf("0/100.4 771 update members new %d old 0", n),
		"0/100.5 771 truncate sessions members cascade",
		"0/100.6 771 truncate sessions cascade",
		fmt.Sprintf("0/100.9 771 delete sessions new 0 old %dO", n),
		fmt.Sprintf("0/200.0 771 delete sessions new 0 old %dK", n),
	}
	if d := cmp.Diff(want, w.lines); d != "" {
		t.Errorf("observed: (-want +got)\n%s", d)
	}
	want = []string{
		fmt.Sprintf("0/100.1 771 insert items new %d old 0", n),
		fmt.Sprintf("0/100.4 771 update members new %d old 0", n),
		"0/100.5 771 truncate items members cascade",
		"0/100.8 771 message",
		fmt.Sprintf("0/300.0 771 insert items new %d old 0", n),
	}
	got := logged(t, batch)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("logged: (-want +got)\n%s", d)
	}
	if len(batch.Relations) != 2 || batch.WAL != 0x310 {
		t.Errorf("%d relations, WAL %s", len(batch.Relations), batch.WAL)
	}

	r, f = watchedReceiver(change.Position{}, &watch{}, true, messages...)
	r.play(t)
	all := logged(t, f.take(time.Now(), false))
	for _, line := range got {
		at, _, _ := strings.Cut(line, " ")
		found := false
		for _, other := range all {
			found = found || strings.HasPrefix(other, at+" ")
		}
		if !found {
			t.Errorf("%s is not in the log that has all tables", line)
		}
	}
	if len(all) != 12 {
		t.Errorf("%d changes of all tables: %q", len(all), all)
	}
}

// When the watcher sees a change, nothing of its transaction can be taken for the log, and
// all before it can.
func TestObserveBeforeAppend(t *testing.T) {
	var w watch
	r, f := watchedReceiver(change.Position{}, &w, false,
		begin(0x100), insertItem(1), commit(0x100, 0x110),
		begin(0x200), insertItem(2), rowOf('D', sessions, byte('K'), itemTuple(1)), insertItem(3), rowOf('U', members, byte('N'), itemTuple(1)), commit(0x200, 0x210),
		begin(0x300), insertItem(4), commit(0x300, 0x310))
	var before [][]string
	w.also = func(*change.Change) {
		var taken []string
		for b := f.take(time.Now(), true); b != nil; b = f.take(time.Now(), true) {
			taken = append(taken, logged(t, b)...)
		}
		before = append(before, taken)
	}
	r.play(t)
	if len(before) != 2 || len(before[0]) != 1 || !strings.HasPrefix(before[0][0], "0/100.0 ") || len(before[1]) != 0 {
		t.Errorf("taken before: %q", before)
	}
	if after := logged(t, f.take(time.Now(), false)); len(after) != 4 || !strings.HasPrefix(after[0], "0/200.0 ") {
		t.Errorf("taken after: %q", after)
	}
}

// What the log has, the watcher sees again; rows that are too large for the log it sees
// whole; rows that cannot be read end the session.
func TestObserveAsReceived(t *testing.T) {
	var w watch
	r, f := watchedReceiver(change.Position{Commit: 0x100, Index: 5}, &w, false,
		begin(0x100), rowOf('I', members, byte('N'), itemTuple(1)), rowOf('D', sessions, byte('K'), itemTuple(1)), truncated(members), commit(0x100, 0x110),
		begin(0x200), rowOf('I', members, byte('N'), itemTuple(1)), commit(0x200, 0x210))
	r.maxEvent = 70
	r.play(t)
	n := len(itemTuple(1))
	want := []string{fmt.Sprintf("0/100.0 771 insert members new %d old 0", n), fmt.Sprintf("0/100.1 771 delete sessions new 0 old %dK", n), "0/100.2 771 truncate members cascade",
		fmt.Sprintf("0/200.0 771 insert members new %d old 0", n)}
	if d := cmp.Diff(want, w.lines); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := logged(t, f.take(time.Now(), false)); len(got) != 1 || got[0] == want[3] || r.stats.oversize.Load() != 1 {
		t.Errorf("logged: %q, %d oversize", got, r.stats.oversize.Load())
	}
	for name, m := range map[string][]byte{
		"an insert of nothing": rowOf('I', sessions, byte('X')),
		"an update of nothing": rowOf('U', sessions, byte('K'), itemTuple(1)),
		"a short old tuple":    rowOf('U', sessions, byte('K'), uint16(3), byte('t')),
	} {
		r, _ := watchedReceiver(change.Position{}, &watch{}, false, begin(0x100), m)
		if err := r.run(t.Context()); err == nil || errors.Is(err, errEnd) {
			t.Errorf("%s: accepted (%v)", name, err)
		}
	}
}

// A change that the log was not given says nothing of whether the server has its past.
func TestPrivateIsNoContradiction(t *testing.T) {
	behind := func(r *receiver) { // the log ends at 0x100 and is complete below 0x300, the slot was confirmed before
		r.witness = newWitness(change.Tx{Commit: 0x100, XID: 771, Time: 5}, true, 0x300, 0x80)
	}
	have := change.Position{Commit: 0x100}
	first := [][]byte{begin(0x100), insertItem(1), commit(0x100, 0x110), begin(0x200)}
	var w watch
	r, f := watchedReceiver(have, &w, false, append(first, rowOf('D', sessions, byte('K'), itemTuple(1)), truncated(sessions), rowOf('D', others, byte('K'), itemTuple(1)),
		commit(0x200, 0x210), begin(0x300), insertItem(4), commit(0x300, 0x310))...)
	behind(r)
	r.play(t)
	if got := logged(t, f.take(time.Now(), false)); len(got) != 1 || len(w.lines) != 2 {
		t.Errorf("logged %q, observed %q", got, w.lines)
	}
	for name, m := range map[string][]byte{"row": insertItem(2), "truncate": truncated(sessions, items), "truncate of one that is late": truncated(members, items)} {
		r, _ = watchedReceiver(have, &w, false, append(first[:4:4], m)...)
		behind(r)
		r.relations.byOID[members].since = 0x280
		if err := r.run(t.Context()); !errors.As(err, new(*contradictionError)) {
			t.Errorf("%s that the log lacks: %v", name, err)
		}
	}
	// members was private until 0x280.
	late := [][]byte{rowOf('U', members, byte('N'), itemTuple(1)), truncated(members), commit(0x200, 0x210),
		begin(0x300), rowOf('U', members, byte('N'), itemTuple(1)), commit(0x300, 0x310)}
	r, f = watchedReceiver(have, &w, false, append(first[:4:4], late...)...)
	behind(r)
	r.relations.byOID[members].since = 0x280
	r.play(t)
	if got := logged(t, f.take(time.Now(), false)); len(got) != 1 || !strings.HasPrefix(got[0], "0/300.0 ") {
		t.Errorf("logged of the late table: %q", got)
	}
}

// A relation is what its OID and its name say, and private when either does.
func TestRoles(t *testing.T) {
	specs := []TableSpec{
		{Schema: "public", Name: "items"}, {Schema: "public", Name: "sessions", Private: true, Watched: true}, {Schema: "public", Name: "members", Watched: true},
		{Schema: "public", Name: "gone", Private: true, Watched: true}, {Schema: "a", Name: "b.c", Private: true}, {Schema: "a.b", Name: "c"},
	}
	tables := map[string]*Table{"public.items": {OID: items}, "public.sessions": {OID: sessions}, "public.members": {OID: members}, "public.gone": nil}
	r := newRoles(specs, tables, func(table string) change.LSN {
		if table == "public.items" {
			return 0x100
		}
		return 0
	})
	for _, c := range []struct {
		oid  uint32
		name string
		want role
	}{
		{items, "items", role{logged: true, since: 0x100}},
		{items, "renamed", role{logged: true, since: 0x100}},
		{77, "items", role{logged: true, since: 0x100}},
		{sessions, "sessions", role{watched: true}},
		{sessions, "renamed", role{watched: true}},
		{77, "sessions", role{watched: true}},
		{sessions, "items", role{watched: true, since: 0x100}},
		{items, "sessions", role{watched: true, since: 0x100}},
		{members, "members", role{logged: true, watched: true}},
		{77, "gone", role{watched: true}},
		{77, "others", role{}},
	} {
		if got := r.of(&change.Relation{OID: c.oid, Schema: "public", Name: c.name}); got != c.want {
			t.Errorf("%d %s: %+v, not %+v", c.oid, c.name, got, c.want)
		}
	}
	if got := r.of(&change.Relation{OID: 77, Schema: "a", Name: "b.c"}); got.logged {
		t.Error("a name that is that of a private table when it is written with its schema is logged")
	}
}

// Another session is needed when what becomes of a table changes.
func TestCovers(t *testing.T) {
	one := func(private, watched bool) Target {
		return Target{Tables: []TableSpec{{Schema: "public", Name: "t", Private: private, Watched: watched}}}
	}
	for _, c := range []struct {
		is, wanted Target
		want       bool
	}{
		{one(true, true), one(true, true), true},
		{one(true, true), one(true, false), true},
		{one(true, true), Target{}, true},
		{one(true, true), one(false, true), false},
		{one(false, true), one(true, true), false},
		{one(false, false), one(false, true), false},
		{Target{}, one(false, false), false},
	} {
		if got := c.is.covers(c.wanted); got != c.want {
			t.Errorf("%+v covers %+v: %v", c.is.Tables, c.wanted.Tables, got)
		}
	}
}

// BenchmarkObserve: one row of a private table from the socket's buffer to the watcher.
func BenchmarkObserve(b *testing.B) {
	r, _ := watchedReceiver(change.Position{}, &watch{}, false)
	r.watcher = nobody{}
	if err := r.copyData(b.Context(), begin(0x100)); err != nil {
		b.Fatal(err)
	}
	row := rowOf('U', sessions, byte('N'), itemTuple(12345))
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.copyData(b.Context(), row); err != nil {
			b.Fatal(err)
		}
	}
}
