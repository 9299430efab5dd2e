package change

import "time"

// Batch is a run of changes in position order. Immutable once sealed.
type Batch struct {
	// Prev is the position before First: Last of the batch before this one.
	// Invariant: Prev < First <= Last, unless Changes is 0.
	Prev Position
	// First and Last are the positions of the first and last change. A batch
	// without changes has First == Last == Prev and only moves WAL.
	First, Last Position
	// WAL says that every commit with an LSN below it is in the log once this
	// batch is. Invariant: never decreases from batch to batch; at most Last.Commit
	// while Last's transaction goes on in the next batch.
	WAL LSN
	// Changes is the number of positions in the batch.
	Changes int
	// Time is when the batch was sealed, for retention.
	Time time.Time
	// Relations are the relation versions that the body refers to by index.
	Relations []*Relation
	// Body is the encoded run, see the package comment.
	Body []byte
}

// Size is the memory that the batch's body takes, in bytes.
func (b *Batch) Size() int { return len(b.Body) }

// Record kinds of a body.
const (
	recTx           = 'X'
	recInsert       = 'I'
	recUpdate       = 'U'
	recDelete       = 'D'
	recTruncate     = 'T'
	recMessage      = 'M'
	recOversizeMask = 'a' - 'A'
)

// Op is what a change does.
type Op byte

// The operations of a Change.
const (
	Insert   Op = 'I'
	Update   Op = 'U'
	Delete   Op = 'D'
	Truncate Op = 'T'
	Message  Op = 'M'
)

func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Message:
		return "message"
	}
	return "op " + string(rune(o))
}

// OldKind says what is known of the row before an UPDATE or DELETE.
type OldKind byte

// The kinds of old tuple, with the bytes that pgoutput uses.
const (
	// OldNone: no old tuple was sent. For an UPDATE this says that no column of
	// the replica identity changed.
	OldNone OldKind = 0
	// OldKey: only the columns of the replica identity were sent.
	OldKey OldKind = 'K'
	// OldFull: all columns were sent (REPLICA IDENTITY FULL).
	OldFull OldKind = 'O'
)

// Change is one decoded record of a batch. Its slices point into the batch; the
// struct itself is reused by [Reader.Next].
type Change struct {
	Tx       Tx
	Position Position
	Op       Op
	// Relation of a row change, nil otherwise.
	Relation *Relation
	// New is the row after INSERT and UPDATE.
	New Tuple
	// Old is the row before UPDATE and DELETE as far as OldKind says.
	Old     Tuple
	OldKind OldKind
	// Oversize: large values were left out, their kind is Omitted.
	Oversize bool
	// Truncated are the relations of a TRUNCATE, Cascade and RestartIdentity its options.
	Truncated                []*Relation
	Cascade, RestartIdentity bool
	// Prefix and Content of a logical message.
	Prefix, Content []byte
}
