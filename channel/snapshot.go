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

// Visibility is what a snapshot has, and where it ends in the WAL.
type Visibility struct {
	change.Snapshot
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
