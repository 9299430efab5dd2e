package change

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testRelation() *Relation {
	text := &Type{OID: 25, Name: "text"}
	return &Relation{ID: 1, OID: 7, Schema: "public", Name: "t", Identity: 'd', Key: []int{0},
		Columns: []Column{{Name: "id", Identity: true, Type: &Type{OID: 20, Name: "bigint", Kind: KindInt}}, {Name: "a", Type: text}, {Name: "b", Type: text}}}
}

// tuple builds a TupleData: "" is NULL, "?" unchanged.
func tuple(values ...string) []byte {
	out := []byte{0, byte(len(values))}
	for _, v := range values {
		switch v {
		case "":
			out = append(out, 'n')
		case "?":
			out = append(out, 'u')
		default:
			out = append(append(out, 't', 0, 0, 0, byte(len(v))), v...)
		}
	}
	return out
}

func row(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			out = append(out, p)
		case []byte:
			out = append(out, p...)
		}
	}
	return out
}

// TestBatchRoundTrip: what goes in comes out, positions counted by transaction,
// also when a transaction goes on in the next batch.
func TestBatchRoundTrip(t *testing.T) {
	rel := testRelation()
	b := NewBuilder(Position{Commit: 0x10, Index: 2}, 0x18)
	b.Begin(Tx{Commit: 0x100, XID: 771, Time: 5})
	b.Row(Insert, rel, row(byte('N'), tuple("1", "x", "")), false)
	b.Row(Update, rel, row(byte('K'), tuple("1", "", ""), byte('N'), tuple("2", "y", "?")), false)
	b.Commit(0x120)
	b.Begin(Tx{Commit: 0x200, XID: 772, Time: 6})
	b.Row(Delete, rel, row(byte('K'), tuple("2", "", "")), false)
	first := b.Seal(time.Unix(1, 0))
	b.Truncate([]*Relation{rel}, true, false)
	b.Message("walrelay:x", []byte(`{"a":1}`))
	b.Commit(0x220)
	second := b.Seal(time.Unix(2, 0))

	if first.Prev != (Position{0x10, 2}) || first.First != (Position{0x100, 0}) || first.Last != (Position{0x200, 0}) || first.WAL != 0x120 || first.Changes != 3 {
		t.Errorf("first batch: %+v", first)
	}
	if second.Prev != first.Last || second.First != (Position{0x200, 1}) || second.Last != (Position{0x200, 2}) || second.WAL != 0x220 {
		t.Errorf("second batch: %+v", second)
	}
	got := append(walk(t, first), walk(t, second)...)
	want := []string{"0/100.0 insert 1 x NULL", "0/100.1 update 2 y - was 1 ~ ~", "0/200.0 delete was 2 ~ ~", "0/200.1 truncate public.t cascade", "0/200.2 message walrelay:x {\"a\":1}"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func walk(t *testing.T, b *Batch) (out []string) {
	t.Helper()
	var r Reader
	var c Change
	var after, before []Value
	for r.Reset(b); r.Next(&c); {
		s := c.Position.String() + " " + c.Op.String()
		switch c.Op {
		case Truncate:
			for _, rel := range c.Truncated {
				s += " " + rel.FullName()
			}
			if c.Cascade {
				s += " cascade"
			}
		case Message:
			s += " " + string(c.Prefix) + " " + string(c.Content)
		default:
			var err error
			if after, before, err = c.Images(after, before); err != nil {
				t.Fatal(err)
			}
			s += show(after)
			if len(before) > 0 {
				s += " was" + show(before)
			}
		}
		out = append(out, s)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

func show(vs []Value) string {
	s := ""
	for _, v := range vs {
		switch v.Kind {
		case Null:
			s += " NULL"
		case Unchanged:
			s += " -"
		case Missing:
			s += " ~"
		case Omitted:
			s += " x"
		default:
			s += " " + string(v.Text)
		}
	}
	return s
}

// TestImages: what the WAL did not carry is never NULL.
func TestImages(t *testing.T) {
	full := testRelation()
	full.Identity = 'f'
	for i := range full.Columns {
		full.Columns[i].Identity = true
	}
	for _, c := range []struct {
		name    string
		rel     *Relation
		op      Op
		payload []byte
		want    string
	}{
		{"default, key unchanged: no old tuple", testRelation(), Update, row(byte('N'), tuple("1", "x", "?")), " 1 x - was 1 ~ ~"},
		{"full: unchanged TOAST is filled from the old tuple", full, Update, row(byte('O'), tuple("1", "x", "big"), byte('N'), tuple("1", "y", "?")), " 1 y big was 1 x big"},
		{"full: NULL stays NULL", full, Update, row(byte('O'), tuple("1", "", ""), byte('N'), tuple("1", "y", "")), " 1 y NULL was 1 NULL NULL"},
		{"key delete: columns outside the identity are missing", testRelation(), Delete, row(byte('K'), tuple("1", "", "")), " was 1 ~ ~"},
	} {
		b := NewBuilder(Position{}, 0)
		b.Begin(Tx{Commit: 8})
		b.Row(c.op, c.rel, c.payload, false)
		got := walk(t, b.Seal(time.Time{}))[0]
		if want := "0/8.0 " + c.op.String() + c.want; got != want {
			t.Errorf("%s: got %q, want %q", c.name, got, want)
		}
	}
}

// TestShrink: large values are left out by name, the key stays.
func TestShrink(t *testing.T) {
	rel := testRelation()
	long := string(make([]byte, 120))
	p, err := Shrink(nil, row(byte('N'), tuple(long, "x", long)), rel, 100)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder(Position{}, 0)
	b.Begin(Tx{Commit: 8})
	b.Row(Insert, rel, p, true)
	if got, want := walk(t, b.Seal(time.Time{}))[0], "0/8.0 insert "+long+" x x"; got != want {
		t.Errorf("got %q", got)
	}
}

// TestSkip: what the log has already only takes its index.
func TestSkip(t *testing.T) {
	b := NewBuilder(Position{0x100, 0}, 0x80)
	b.Begin(Tx{Commit: 0x100})
	b.Skip()
	b.Row(Insert, testRelation(), row(byte('N'), tuple("1", "", "")), false)
	if got := b.Seal(time.Time{}); got.First != (Position{0x100, 1}) || got.Prev != (Position{0x100, 0}) {
		t.Errorf("%+v", got)
	}
}

// TestSkipWithin: what a batch is not to have takes its index, wherever it stands.
func TestSkipWithin(t *testing.T) {
	rel := testRelation()
	insert := func(b *Builder, id string) { b.Row(Insert, rel, row(byte('N'), tuple(id, "", "")), false) }
	b := NewBuilder(Position{0x10, 0}, 0x18)
	b.Begin(Tx{Commit: 0x100})
	insert(b, "1")
	b.Skip()
	b.Skip()
	insert(b, "2")
	insert(b, "3")
	b.Skip()
	b.Commit(0x110)
	b.Begin(Tx{Commit: 0x200})
	b.Skip()
	b.Commit(0x210)
	b.Begin(Tx{Commit: 0x300})
	insert(b, "4")
	b.Commit(0x310)
	got := b.Seal(time.Time{})
	if got.First != (Position{0x100, 0}) || got.Last != (Position{0x300, 0}) || got.Changes != 4 || got.WAL != 0x310 {
		t.Errorf("%+v", got)
	}
	want := []string{"0/100.0 insert 1 NULL NULL", "0/100.3 insert 2 NULL NULL", "0/100.4 insert 3 NULL NULL", "0/300.0 insert 4 NULL NULL"}
	if d := cmp.Diff(want, walk(t, got)); d != "" {
		t.Error(d)
	}
}

// TestSealCommitted: transactions are taken whole; what is there of the open one follows
// with the relations that it names, and no others.
func TestSealCommitted(t *testing.T) {
	relations := make([]*Relation, 300) // two-byte indices
	for i := range relations {
		relations[i] = testRelation()
		relations[i].Name = "t" + strconv.Itoa(i)
	}
	insert := func(b *Builder, id int) {
		b.Row(Insert, relations[id], row(byte('N'), tuple(strconv.Itoa(id), "", "")), false)
	}
	b := NewBuilder(Position{0x10, 2}, 0x18)
	b.Begin(Tx{Commit: 0x100})
	for id := range 299 {
		insert(b, id)
	}
	b.Commit(0x110)
	b.Begin(Tx{Commit: 0x200})
	b.Skip()
	insert(b, 299)
	b.Message("p", []byte("m"))
	b.Truncate([]*Relation{relations[200], relations[299], relations[1]}, false, false)
	insert(b, 1)
	if b.Committed() != 299 {
		t.Errorf("%d changes are committed", b.Committed())
	}
	first := b.SealCommitted(time.Unix(1, 0))
	if first.Prev != (Position{0x10, 2}) || first.First != (Position{0x100, 0}) || first.Last != (Position{0x100, 298}) || first.WAL != 0x110 || len(first.Relations) != 299 {
		t.Errorf("first: %s %s %s %s, %d relations", first.Prev, first.First, first.Last, first.WAL, len(first.Relations))
	}
	if got := walk(t, first); len(got) != 299 || got[298] != "0/100.298 insert 298 NULL NULL" {
		t.Errorf("first: %d changes", len(got))
	}
	if empty := b.SealCommitted(time.Unix(2, 0)); empty.Changes != 0 || empty.Prev != first.Last || empty.First != first.Last || empty.Last != first.Last || len(empty.Body) != 0 {
		t.Errorf("nothing committed: %+v", empty)
	}
	insert(b, 2)
	b.Commit(0x210)
	b.Begin(Tx{Commit: 0x300})
	b.Commit(0x310)
	second := b.SealCommitted(time.Unix(3, 0))
	if second.Prev != first.Last || second.First != (Position{0x200, 1}) || second.Last != (Position{0x200, 5}) || second.WAL != 0x310 || second.Changes != 5 || len(second.Relations) != 4 {
		t.Errorf("second: %+v", second)
	}
	want := []string{"0/200.1 insert 299 NULL NULL", "0/200.2 message p m", "0/200.3 truncate public.t200 public.t299 public.t1", "0/200.4 insert 1 NULL NULL", "0/200.5 insert 2 NULL NULL"}
	got := walk(t, second)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for i, name := range []string{"t299", "t200", "t1", "t2"} {
		if second.Relations[i].Name != name {
			t.Errorf("relation %d is %s, not %s", i, second.Relations[i].Name, name)
		}
	}
}

// TestSealThenCommitted: a transaction that was cut is committed like any other.
func TestSealThenCommitted(t *testing.T) {
	rel := testRelation()
	insert := func(b *Builder, id string) { b.Row(Insert, rel, row(byte('N'), tuple(id, "", "")), false) }
	b := NewBuilder(Position{0x10, 2}, 0x18)
	b.Begin(Tx{Commit: 0x100})
	insert(b, "1")
	cut := b.Seal(time.Time{})
	insert(b, "2")
	b.Commit(0x110)
	b.Begin(Tx{Commit: 0x200})
	insert(b, "3")
	rest := b.SealCommitted(time.Time{})
	b.Commit(0x210)
	last := b.SealCommitted(time.Time{})
	if cut.Last != rest.Prev || cut.WAL != 0x18 || rest.First != (Position{0x100, 1}) || rest.WAL != 0x110 || last.Prev != rest.Last || last.First != (Position{0x200, 0}) {
		t.Errorf("%+v, %+v, %+v", cut, rest, last)
	}
	got := append(append(walk(t, cut), walk(t, rest)...), walk(t, last)...)
	if d := cmp.Diff([]string{"0/100.0 insert 1 NULL NULL", "0/100.1 insert 2 NULL NULL", "0/200.0 insert 3 NULL NULL"}, got); d != "" {
		t.Error(d)
	}
}

// FuzzReader: damaged bytes end the walk with an error, never with a panic.
func FuzzReader(f *testing.F) {
	b := NewBuilder(Position{}, 0)
	b.Begin(Tx{Commit: 0x100, XID: 1})
	b.Row(Update, testRelation(), row(byte('K'), tuple("1", "", ""), byte('N'), tuple("2", "y", "?")), false)
	b.Truncate([]*Relation{testRelation()}, true, false)
	b.Message("p", []byte("c"))
	f.Add(b.Seal(time.Time{}).Body)
	rel := testRelation()
	f.Fuzz(func(_ *testing.T, body []byte) {
		var r Reader
		var c Change
		for r.Reset(&Batch{Body: body, Relations: []*Relation{rel}}); r.Next(&c); {
			if c.Relation != nil {
				_, _, _ = c.Images(nil, nil)
			}
		}
	})
}
