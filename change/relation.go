package change

import "time"

// Relation describes a table as the stream announced it, together with what the
// catalog says of its types and primary key at that moment. It is immutable and
// is stored beside the batches that use it, so that history can be read without
// the catalog.
type Relation struct {
	// ID is the identity of this version of the relation within one event log.
	// It is a hash of everything below, so equal versions share it.
	ID uint64 `json:"id"`
	// OID is pg_class.oid.
	OID uint32 `json:"oid"`
	// Schema and Name are unquoted.
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Identity is pg_class.relreplident: 'd' default, 'f' full, 'i' index, 'n' nothing.
	Identity byte `json:"identity"`
	// Columns are those the stream carries, in its order.
	Columns []Column `json:"columns"`
	// Key are the indices into Columns of the primary key, in the key's order.
	// Invariant: never derived from the Relation message (under REPLICA IDENTITY
	// FULL that flags every column); empty when the table has no primary key.
	Key []int `json:"key"`
}

// Column is one column of a Relation.
type Column struct {
	Name string `json:"name"`
	// Identity reports that the replica identity carries the column: the old
	// tuple of an UPDATE or DELETE has its value.
	Identity bool  `json:"identity,omitempty"`
	NotNull  bool  `json:"not_null,omitempty"`
	Type     *Type `json:"type"`
}

// FullName is schema.name, unquoted.
func (r *Relation) FullName() string { return r.Schema + "." + r.Name }

// Column returns the index of the named column, or -1.
func (r *Relation) Column(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Tx describes the transaction of a change.
type Tx struct {
	// Commit is the LSN of the commit record (Begin.FinalLSN).
	Commit LSN
	// XID is the 32-bit transaction id, without epoch.
	XID uint32
	// Time is the commit time in microseconds since 2000-01-01 00:00 UTC.
	Time int64
}

// Microseconds from the Unix epoch to the Postgres epoch, 2000-01-01.
const postgresEpoch = 946684800 * 1_000_000

// At is the commit time.
func (t Tx) At() time.Time { return time.UnixMicro(t.Time + postgresEpoch).UTC() }
