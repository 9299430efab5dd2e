package change

import (
	"encoding/binary"
	"slices"
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
	announced bool   // an 'X' record for tx, with the index of what follows, is in buf

	// committed is where the part ends that Commit was called after.
	committed mark
	// openFirst is the position of the first change behind committed; openRelations are
	// the places in buf where relations are named there.
	openFirst     Position
	openRelations []uint32
}

// mark is a place in what a Builder has collected.
type mark struct {
	len, changes, relations int
	last                    Position
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
func (b *Builder) Commit(end LSN) {
	b.Advance(end)
	b.committed = mark{len: len(b.buf), changes: b.changes, relations: len(b.relations), last: b.last}
	b.openRelations = b.openRelations[:0]
}

// Advance records that every commit below wal is in the batches so far. Lower
// values than before are ignored.
func (b *Builder) Advance(wal LSN) { b.wal = max(b.wal, wal) }

// Len is the size of the body so far, in bytes.
func (b *Builder) Len() int { return len(b.buf) }

// WAL is the highest value that Commit and Advance were told.
func (b *Builder) WAL() LSN { return b.wal }

// Committed is the number of changes that SealCommitted would take.
func (b *Builder) Committed() int { return b.committed.changes }

// Row adds a row change. payload is what follows the relation's OID in the
// pgoutput message; it is copied.
func (b *Builder) Row(op Op, rel *Relation, payload []byte, oversize bool) {
	kind := byte(op)
	if oversize {
		kind |= recOversizeMask
	}
	b.open()
	b.buf = append(b.buf, kind)
	b.relation(rel)
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
		b.relation(r)
	}
}

// Message adds a transactional logical message.
func (b *Builder) Message(prefix string, content []byte) {
	b.open()
	b.buf = append(b.buf, recMessage)
	b.bytes([]byte(prefix))
	b.bytes(content)
}

// Skip takes the next index without a record: the log has the change already, or is
// not to have it.
func (b *Builder) Skip() {
	b.next++
	b.announced = false
}

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
	if b.changes == b.committed.changes {
		b.openFirst = p
	}
	b.last = p
	b.changes++
}

func (b *Builder) bytes(p []byte) {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(p)))
	b.buf = append(b.buf, p...)
}

// relation names r in the record that is being written.
func (b *Builder) relation(r *Relation) {
	i, ok := b.relIndex[r]
	if !ok {
		i = len(b.relations)
		b.relIndex[r] = i
		b.relations = append(b.relations, r)
	}
	b.openRelations = append(b.openRelations, uint32(len(b.buf)))
	b.buf = binary.AppendUvarint(b.buf, uint64(i))
}

// Seal returns what was collected as a batch and starts the next one, also in the middle
// of a transaction. now is the batch's time.
func (b *Builder) Seal(now time.Time) *Batch {
	out := b.batch(mark{len: len(b.buf), changes: b.changes, relations: len(b.relations), last: b.last}, now)
	b.buf = b.buf[:0]
	b.changes = 0
	b.announced = false
	b.openRelations = b.openRelations[:0]
	b.forgetRelations()
	return out
}

// SealCommitted is Seal for the transactions that Commit was called for. What is there
// of the open one begins the next batch.
func (b *Builder) SealCommitted(now time.Time) *Batch {
	if b.changes == b.committed.changes {
		return b.Seal(now)
	}
	end := b.committed
	out := b.batch(end, now)
	if end.changes == 0 {
		return out
	}
	b.first = b.openFirst
	b.changes -= end.changes
	b.keepFrom(end.len)
	return out
}

// batch is what was collected up to a mark.
func (b *Builder) batch(end mark, now time.Time) *Batch {
	out := &Batch{Prev: b.prev, First: b.first, Last: end.last, WAL: b.wal, Changes: end.changes, Time: now}
	if end.changes == 0 {
		out.First, out.Last = b.prev, b.prev
	} else {
		out.Relations = b.relations[:end.relations:end.relations]
	}
	out.Body = append(make([]byte, 0, end.len), b.buf[:end.len]...)
	b.prev = out.Last
	b.committed = mark{}
	return out
}

func (b *Builder) forgetRelations() {
	b.relations = nil
	clear(b.relIndex)
}

// keepFrom drops what lies before from. The rest, which is behind committed, names only
// the relations that it needs.
func (b *Builder) keepFrom(from int) {
	rest, places, relations := slices.Clone(b.buf[from:]), slices.Clone(b.openRelations), b.relations
	b.buf, b.openRelations = b.buf[:0], b.openRelations[:0]
	b.forgetRelations()
	at := 0
	for _, place := range places {
		place := int(place) - from
		b.buf = append(b.buf, rest[at:place]...)
		i, n := binary.Uvarint(rest[place:])
		b.relation(relations[i])
		at = place + n
	}
	b.buf = append(b.buf, rest[at:]...)
}
