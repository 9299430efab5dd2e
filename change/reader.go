package change

import (
	"encoding/binary"
	"fmt"
)

// Reader walks the changes of a batch. The zero Reader is empty; Reset it.
// It allocates nothing per change. Not safe for concurrent use.
type Reader struct {
	batch *Batch
	rest  []byte
	tx    Tx
	next  uint64
	err   error
}

// Reset starts at the first change of b.
func (r *Reader) Reset(b *Batch) { *r = Reader{batch: b, rest: b.Body} }

// Err is the error that ended the walk, nil at the regular end.
func (r *Reader) Err() error { return r.err }

// Next decodes the next change into c and reports whether there was one.
func (r *Reader) Next(c *Change) bool {
	for r.err == nil && len(r.rest) > 0 {
		kind := r.rest[0]
		r.rest = r.rest[1:]
		if kind == recTx {
			r.readTx()
			continue
		}
		c.Tx, c.Position = r.tx, Position{r.tx.Commit, r.next}
		r.next++
		c.Relation, c.New, c.Old, c.OldKind, c.Oversize = nil, nil, nil, OldNone, false
		r.readRecord(kind, c)
		return r.err == nil
	}
	return false
}

func (r *Reader) readTx() {
	if len(r.rest) < 20 {
		r.fail("short transaction record")
		return
	}
	r.tx.Commit = LSN(binary.BigEndian.Uint64(r.rest))
	r.tx.XID = binary.BigEndian.Uint32(r.rest[8:])
	r.tx.Time = int64(binary.BigEndian.Uint64(r.rest[12:]))
	r.rest = r.rest[20:]
	r.next = r.uvarint()
}

func (r *Reader) readRecord(kind byte, c *Change) {
	switch kind {
	case recInsert, recUpdate, recDelete, recInsert | recOversizeMask, recUpdate | recOversizeMask, recDelete | recOversizeMask:
		c.Op, c.Oversize = Op(kind&^recOversizeMask), kind&recOversizeMask != 0
		c.Relation = r.relation()
		if err := c.Split(r.bytes()); err != nil {
			r.fail(err.Error())
		}
	case recTruncate:
		r.truncate(c)
	case recMessage:
		c.Op = Message
		c.Prefix, c.Content = r.bytes(), r.bytes()
	default:
		r.fail(fmt.Sprintf("unknown record kind %q", kind))
	}
}

func (r *Reader) truncate(c *Change) {
	c.Op = Truncate
	if len(r.rest) == 0 {
		r.fail("short truncate record")
		return
	}
	c.Cascade, c.RestartIdentity = r.rest[0]&1 != 0, r.rest[0]&2 != 0
	r.rest = r.rest[1:]
	c.Truncated = c.Truncated[:0]
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		c.Truncated = append(c.Truncated, r.relation())
	}
}

func (r *Reader) relation() *Relation {
	i := r.uvarint()
	if i >= uint64(len(r.batch.Relations)) {
		r.fail("relation index out of range")
		return nil
	}
	return r.batch.Relations[i]
}

func (r *Reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail("record longer than the batch")
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *Reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("decode batch %s..%s: %s", r.batch.First, r.batch.Last, what)
	}
	r.rest = nil
}
