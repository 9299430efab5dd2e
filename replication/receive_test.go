package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walrelay/walrelay/change"
)

// stream plays pgoutput messages to a receiver.
type stream struct {
	messages [][]byte
	at       int
	msg      pgproto3.CopyData
}

var errEnd = errors.New("end of the played stream")

func (s *stream) receive(context.Context) (pgproto3.BackendMessage, error) {
	if s.at == len(s.messages) {
		return nil, errEnd
	}
	s.msg.Data = s.messages[s.at]
	s.at++
	return &s.msg, nil
}

func xlog(payload ...any) []byte {
	b := append([]byte{'w'}, make([]byte, 24)...)
	return append(b, message(payload...)...)
}

func message(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string: // a C string
			b = append(append(b, p...), 0)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func begin(commit uint64) []byte { return xlog(byte('B'), commit, uint64(5), uint32(771)) }

func commit(at, end uint64) []byte { return xlog(byte('C'), byte(0), at, end, uint64(5)) }

func keepalive(end uint64, reply byte) []byte {
	return message(byte('k'), end, uint64(5), reply)
}

// itemTuple is a row of the table of the benchmarks in bench/: 6 columns, 150 bytes.
func itemTuple(id int) []byte {
	b := binary.BigEndian.AppendUint16(nil, 6)
	for _, v := range []string{fmt.Sprint(id), "123", "open", "45.67",
		"row 1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "2026-11-20 21:00:00.123456+00"} {
		b = append(b, 't')
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

func insertItem(id int) []byte { return xlog(byte('I'), uint32(7), byte('N'), itemTuple(id)) }

func testReceiver(have change.Position, messages ...[]byte) (*receiver, *inflow) {
	f := newInflow()
	f.start(have, have.Commit)
	rel := &change.Relation{ID: 1, OID: 7, Schema: "public", Name: "items", Identity: 'd', Key: []int{0}}
	for i := range 6 {
		rel.Columns = append(rel.Columns, change.Column{Name: fmt.Sprint("c", i), Type: &change.Type{Name: "text"}})
	}
	s := &stream{messages: messages}
	return &receiver{receive: s.receive, inflow: f, have: have, maxEvent: 1 << 20, stats: &counters{}, reply: func() {}, witness: &witness{}, watcher: nobody{}, horizon: &horizon{},
		relations: &relations{byOID: map[uint32]*relation{7: {rel, role{logged: true}}}}}, f
}

// TestReplayTakesIndices: what the log has already is not logged again, and what
// follows in the same transaction keeps its index.
func TestReplayTakesIndices(t *testing.T) {
	have := change.Position{Commit: 0x200, Index: 1}
	r, f := testReceiver(have,
		begin(0x100), insertItem(1), commit(0x100, 0x110),
		begin(0x200), insertItem(2), insertItem(3), insertItem(4), commit(0x200, 0x210))
	if err := r.run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	b := f.take(time.Now(), true)
	if b.Prev != have || b.First != (change.Position{Commit: 0x200, Index: 2}) || b.Changes != 1 || b.WAL != 0x210 {
		t.Errorf("%+v", b)
	}
}

// TestKeepaliveCounts: a WAL end within a transaction, or with changes not yet
// logged before it, must not be confirmed ahead of them.
func TestKeepaliveCounts(t *testing.T) {
	r, f := testReceiver(change.Position{Commit: 0x10},
		begin(0x100), insertItem(1), keepalive(0x900, 0), insertItem(2))
	if err := r.run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	if b := f.take(time.Now(), true); b != nil {
		t.Errorf("in a transaction: %+v", b)
	}
	if err := r.copyData(t.Context(), commit(0x100, 0x110)); err != nil {
		t.Fatal(err)
	}
	if b := f.take(time.Now(), false); b == nil || b.WAL != 0x110 || b.Changes != 2 {
		t.Errorf("after it: %+v", b)
	}
	r, f = testReceiver(change.Position{Commit: 0x10}, keepalive(0x900, 0))
	if err := r.run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	if b := f.take(time.Now(), false); b != nil {
		t.Errorf("a WAL end alone is not urgent: %+v", b)
	}
	if b := f.take(time.Now(), true); b == nil || b.WAL != 0x900 || b.Changes != 0 {
		t.Errorf("idle: %+v", b)
	}
	f.start(change.Position{Commit: 0x10}, 0x10)
	if err := r.keepalive(t.Context(), 0x900, true); err != nil {
		t.Fatal(err)
	}
	if b := f.take(time.Now(), false); b == nil || b.WAL != 0x900 {
		t.Errorf("asked by the server: %+v", b)
	}
}

// TestBackPressure: a full batch stops the receiver until the writer takes it, and
// the end of the context lets it go.
func TestBackPressure(t *testing.T) {
	var messages [][]byte
	messages = append(messages, begin(0x100))
	for i := range 3 * batchCap / 150 {
		messages = append(messages, insertItem(i))
	}
	r, f := testReceiver(change.Position{}, messages...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	total := 0
	for range 2 {
		<-f.ready
		for {
			b := f.take(time.Now(), false)
			if b != nil && len(b.Body) > batchCap+1024 {
				t.Fatalf("batch of %d bytes", len(b.Body))
			}
			if b == nil {
				break
			}
			total += b.Changes
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, errEnd) {
		t.Error(err)
	}
	if total == 0 {
		t.Error("nothing was taken")
	}
}

// TestMalformed: bytes that are no pgoutput end the session with an error.
func TestMalformed(t *testing.T) {
	for name, m := range map[string][][]byte{
		"empty":                  {{}},
		"short XLogData":         {{'w', 1, 2}},
		"short keepalive":        {{'k', 1}},
		"unknown message":        {xlog(byte('Z'))},
		"begin within begin":     {begin(8), begin(16)},
		"commit without begin":   {commit(8, 16)},
		"row outside":            {insertItem(1)},
		"unannounced relation":   {begin(8), xlog(byte('I'), uint32(99), byte('N'), itemTuple(1))},
		"short truncate":         {begin(8), xlog(byte('T'), uint32(3), byte(0))},
		"message without length": {begin(8), xlog(byte('M'), byte(1), uint64(0), "p")},
	} {
		r, _ := testReceiver(change.Position{}, m...)
		if err := r.run(t.Context()); err == nil || errors.Is(err, errEnd) {
			t.Errorf("%s: accepted (%v)", name, err)
		}
	}
}

func TestSwitchPoint(t *testing.T) {
	const history = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000148\tbefore 2026-11-20\n"
	for tli, want := range map[uint32]string{1: "0/3000000", 2: "0/5000148", 3: "0/0"} {
		if got, ok := switchPoint(history, tli); got.String() != want || ok != (tli < 3) {
			t.Errorf("timeline %d: %s %v", tli, got, ok)
		}
	}
}

// BenchmarkReceive: one row from the socket's buffer into a batch.
func BenchmarkReceive(b *testing.B) {
	r, f := testReceiver(change.Position{}, begin(0x100))
	ctx := context.Background()
	if err := r.copyData(ctx, begin(0x100)); err != nil {
		b.Fatal(err)
	}
	row := insertItem(12345)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.copyData(ctx, row); err != nil {
			b.Fatal(err)
		}
		if f.builder.Len() >= batchCap-1024 {
			f.take(time.Time{}, false)
		}
	}
}

// FuzzMessage: whatever arrives, the receiver ends with an error, never a panic.
func FuzzMessage(f *testing.F) {
	f.Add(insertItem(1)[25:])
	f.Add(xlog(byte('T'), uint32(1), byte(3), uint32(7))[25:])
	f.Add(xlog(byte('M'), byte(1), uint64(0), "walrelay:x", uint32(2), []byte("{}"))[25:])
	f.Add(xlog(byte('R'), uint32(7), "public", "t", byte('d'), uint16(1), byte(1), "id", uint32(20), uint32(0))[25:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _ := testReceiver(change.Position{}, begin(8))
		_ = r.run(t.Context())
		if len(b) > 0 && b[0] == 'R' { // needs the catalog
			_, _ = parseRelation(b[1:])
			return
		}
		if len(b) > 0 {
			_ = r.message(t.Context(), b)
		}
	})
}
