package change

import (
	"encoding/binary"
	"time"
)

// Builder collects changes into a batch. Its buffer is reused from batch to
// batch: [Builder.Seal] copies the body out once. Not safe for concurrent use.
type Builder struct {
	buf       []byte
	relations []*Relation
	relIndex  map[*Relation]int
	prev      Position
	first     Position
	last      Position
	wal       LSN
	changes   int
	tx        Tx
	next      uint64 // index of the transaction's next change
	announced bool   // an 'X' record for tx is in buf
}

// NewBuilder starts a builder whose first batch follows prev; wal is the value
// of WAL reached there.
func NewBuilder(prev Position, wal LSN) *Builder {
	return &Builder{prev: prev, wal: wal, relIndex: map[*Relation]int{}}
}

// Begin starts a transaction. The changes that follow take its indices from 0.
func (b *Builder) Begin(tx Tx) {
	b.tx, b.next, b.announced = tx, 0, false
}

// Commit ends the transaction; end is its end LSN.
func (b *Builder) Commit(end LSN) { b.Advance(end) }

// Advance records that every commit below wal is in the batches so far. Lower
// values than before are ignored.
func (b *Builder) Advance(wal LSN) { b.wal = max(b.wal, wal) }

// Len is the size of the body so far, in bytes.
func (b *Builder) Len() int { return len(b.buf) }

// Pending reports whether Seal would give a batch that says anything new: a
// change, or a WAL above since.
func (b *Builder) Pending(since LSN) bool { return b.changes > 0 || b.wal > since }

// Changes is the number of positions taken since the last Seal.
func (b *Builder) Changes() int { return b.changes }

// Row adds a row change. payload is what follows the relation's OID in the
// pgoutput message; it is copied. With drop the change only takes its index (the
// log has it already).
func (b *Builder) Row(op Op, rel *Relation, payload []byte, oversize bool) {
	kind := byte(op)
	if oversize {
		kind |= recOversizeMask
	}
	b.open()
	b.buf = append(b.buf, kind)
	b.buf = binary.AppendUvarint(b.buf, uint64(b.relation(rel)))
	b.bytes(payload)
}

// Truncate adds a TRUNCATE of the relations.
func (b *Builder) Truncate(rels []*Relation, cascade, restartIdentity bool) {
	b.open()
	var flags byte
	if cascade {
		flags |= 1
	}
	if restartIdentity {
		flags |= 2
	}
	b.buf = append(b.buf, recTruncate, flags)
	b.buf = binary.AppendUvarint(b.buf, uint64(len(rels)))
	for _, r := range rels {
		b.buf = binary.AppendUvarint(b.buf, uint64(b.relation(r)))
	}
}

// Message adds a transactional logical message.
func (b *Builder) Message(prefix string, content []byte) {
	b.open()
	b.buf = append(b.buf, recMessage)
	b.bytes([]byte(prefix))
	b.bytes(content)
}

// Skip takes the next index without a record: the log has the change already.
// Only valid while the batch has no changes; it moves Prev.
func (b *Builder) Skip() { b.next++ }

// NextPosition is the position that the next change will get.
func (b *Builder) NextPosition() Position { return Position{b.tx.Commit, b.next} }

// open takes the next index for a record that the caller appends.
func (b *Builder) open() {
	p := b.NextPosition()
	b.next++
	if !b.announced {
		b.announced = true
		b.buf = append(b.buf, recTx)
		b.buf = binary.BigEndian.AppendUint64(b.buf, uint64(b.tx.Commit))
		b.buf = binary.BigEndian.AppendUint32(b.buf, b.tx.XID)
		b.buf = binary.BigEndian.AppendUint64(b.buf, uint64(b.tx.Time))
		b.buf = binary.AppendUvarint(b.buf, p.Index)
	}
	if b.changes == 0 {
		b.first = p
	}
	b.last = p
	b.changes++
}

func (b *Builder) bytes(p []byte) {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(p)))
	b.buf = append(b.buf, p...)
}

func (b *Builder) relation(r *Relation) int {
	i, ok := b.relIndex[r]
	if !ok {
		i = len(b.relations)
		b.relIndex[r] = i
		b.relations = append(b.relations, r)
	}
	return i
}

// Seal returns what was collected as a batch and starts the next one. now is the
// batch's time.
func (b *Builder) Seal(now time.Time) *Batch {
	out := &Batch{Prev: b.prev, First: b.first, Last: b.last, WAL: b.wal, Changes: b.changes, Time: now, Relations: b.relations}
	if b.changes == 0 {
		out.First, out.Last = b.prev, b.prev
	}
	out.Body = append(make([]byte, 0, len(b.buf)), b.buf...)
	b.prev = out.Last
	b.buf = b.buf[:0]
	b.relations = nil
	clear(b.relIndex)
	b.changes = 0
	b.announced = false
	return out
}
