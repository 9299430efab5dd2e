package channel

import (
	"context"

	"github.com/walrelay/walrelay/change"
)

// Snapshots reads tables as they are now; package snapshot has one for Postgres. Safe for
// concurrent use.
type Snapshots interface {
	// Begin takes a snapshot of the database. The caller closes it soon: the server keeps
	// dead rows for as long as it is open.
	Begin(ctx context.Context) (Snapshot, error)
}

// Snapshot is one REPEATABLE READ READ ONLY transaction. Not safe for concurrent use.
type Snapshot interface {
	Visible() Visibility
	// Read calls row for every row, in no order, with the values of q.Relation's columns as pgoutput would
	// send them; they die when row returns. It stops at the first error of row and returns it.
	// ErrTableChanged: the table is not as q.Relation says.
	Read(ctx context.Context, q SnapshotQuery, row func([]change.Value) error) error
	Close()
}

// Visibility says which transactions a snapshot has, see pg_current_snapshot in "System
// Information Functions". Transaction ids have 64 bits here.
type Visibility struct {
	// Xmin is the lowest transaction id that was in progress; all below it are visible
	// (or rolled back).
	Xmin uint64
	// Xmax is one above the highest that had ended. It and all above are invisible, but may
	// have been given out, and even have come by replication already.
	Xmax uint64
	// InProgress are those from Xmin to Xmax that had not ended, ascending. They are not all
	// that were in progress: whether a logged transaction is missing in the snapshot is for
	// Has to say, not for this list.
	InProgress []uint64
	// Until: every visible commit has a smaller LSN, and is on the server's disk, so that it
	// comes by replication soon.
	Until change.LSN
}

// SnapshotQuery asks for rows of one table.
type SnapshotQuery struct {
	Relation *change.Relation
	// Where is a condition without values; Args are the text of its parameters, which have casts.
	Where string
	Args  []string
	// Limit is the most rows to give; 0: all.
	Limit int
}
