package eventlog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

var ctx = context.Background()

// genesis is where the logs of these tests begin.
const genesis = change.LSN(0x1000000)

var lineage = eventlog.Lineage{SystemID: "7312345678901234567", Timeline: 1}

// orders is a relation as replication hands it over.
var orders = &change.Relation{
	ID: 0xfeedbeef, OID: 16384, Schema: "public", Name: "orders", Identity: 'd', Key: []int{0},
	Columns: []change.Column{
		{Name: "id", Identity: true, NotNull: true, Type: &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}},
		{Name: "note", Type: &change.Type{OID: 25, Name: "text"}},
	},
}

// source makes batches of numbered rows, each row a transaction of its own. The
// number is in the row, so that what comes back can be checked.
type source struct {
	*change.Builder
	commit change.LSN
	next   int
	pad    []byte
	rel    *change.Relation
}

// newSource continues after number rows that end at wal.
func newSource(prev change.Position, wal change.LSN, number, rowBytes int) *source {
	return &source{Builder: change.NewBuilder(prev, wal), commit: wal, next: number, pad: make([]byte, rowBytes), rel: orders}
}

// fillPad makes half of the row differ from the others, as real rows do.
func (s *source) fillPad() {
	x := uint64(s.next)*0x9e3779b97f4a7c15 + 1
	for i := range s.pad {
		if s.pad[i] = "walrelay"[i%8]; i < len(s.pad)/2 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			s.pad[i] = byte(x)
		}
	}
}

func (s *source) row() {
	s.commit += 0x100
	s.Begin(change.Tx{Commit: s.commit, XID: uint32(s.next), Time: int64(s.next)})
	s.Row(change.Insert, s.rel, s.payload(), false)
	s.next++
	s.Commit(s.commit + 0x80)
}

func (s *source) payload() []byte {
	s.fillPad()
	p := []byte{'N', 0, 2}
	for _, v := range [][]byte{strconv.AppendInt(nil, int64(s.next), 10), s.pad} {
		p = append(p, 't')
		p = binary.BigEndian.AppendUint32(p, uint32(len(v)))
		p = append(p, v...)
	}
	return p
}

func (s *source) batch(rows int) *change.Batch { return s.batchAt(rows, time.Now()) }

func (s *source) batchAt(rows int, at time.Time) *change.Batch {
	for range rows {
		s.row()
	}
	return s.Seal(at)
}

// rowNumbers decodes the numbers of a batch's rows.
func rowNumbers(b *change.Batch) (out []int, err error) {
	var (
		r change.Reader
		c change.Change
	)
	for r.Reset(b); r.Next(&c); {
		if c.Relation == nil || c.Relation.FullName() != "public.orders" || len(c.Relation.Columns) != 2 {
			return nil, fmt.Errorf("row at %s has relation %+v", c.Position, c.Relation)
		}
		cols, err := c.New.Columns(nil)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(string(cols[0].Text))
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, r.Err()
}

// walk follows the chain from after to the head and checks every link and number:
// the first row is numbered first. It returns the number after the last one, and
// the error that ended the walk before the head.
func walk(l *eventlog.Log, after change.Position, first int) (next int, at change.Position, err error) {
	for {
		b, err := l.Next(after)
		if b == nil || err != nil {
			return first, after, err
		}
		if b.Prev != after {
			return first, after, fmt.Errorf("batch after %s follows %s", after, b.Prev)
		}
		numbers, err := rowNumbers(b)
		if err != nil {
			return first, after, err
		}
		if len(numbers) != b.Changes {
			return first, after, fmt.Errorf("batch of %d changes has %d", b.Changes, len(numbers))
		}
		for _, n := range numbers {
			if n != first {
				return first, after, fmt.Errorf("row %d where %d belongs, after %s", n, first, after)
			}
			first++
		}
		after = b.Last
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a log that the test closes.
func open(t testing.TB, o eventlog.Options) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(o)
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

// begun opens a log and begins its first generation.
func begun(t testing.TB, o eventlog.Options) *eventlog.Log {
	t.Helper()
	l := open(t, o)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	return l
}

// begunFaulty is begun on an engine in memory that can be made to fail.
func begunFaulty(t testing.TB, o eventlog.Options) (*eventlog.Log, *enginetest.Faulty) {
	t.Helper()
	f := &enginetest.Faulty{Engine: new(enginetest.Memory).Open()}
	o.Engine = f
	return begun(t, o), f
}

// fill appends n batches of rows rows.
func fill(t testing.TB, l *eventlog.Log, s *source, n, rows int) {
	t.Helper()
	for range n {
		must(t, l.Append(ctx, s.batch(rows)))
	}
}

// wantAll checks that the log has the rows [0, n) from its genesis.
func wantAll(t testing.TB, l *eventlog.Log, n int) {
	t.Helper()
	next, _, err := walk(l, change.Before(genesis), 0)
	if err != nil || next != n {
		t.Fatalf("the log has %d rows instead of %d (error %v)", next, n, err)
	}
}

func wantIs(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, expected %v", err, target)
	}
}

func newRows() *source { return newSource(change.Before(genesis), genesis, 0, 200) }
