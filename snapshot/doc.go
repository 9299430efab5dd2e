// Package snapshot reads tables as they are at one moment, and says which transactions
// that moment has: [Reader] is channel.Snapshots on Postgres. What is in a snapshot and
// what comes by replication fit together without a seam, because both go by transaction
// ids.
//
// # Which transactions a snapshot has
//
// A snapshot is one REPEATABLE READ READ ONLY transaction. Its first statement is
// pg_current_snapshot(), so what that says holds for every query that follows.
//
// LSNs do not tell what is visible. A transaction becomes visible when it leaves the proc
// array (ProcArrayEndTransaction), after its commit record was inserted and flushed and,
// under synchronous replication, after a standby has confirmed it (CommitTransaction in
// src/backend/access/transam/xact.c: RecordTransactionCommit with XLogFlush and
// SyncRepWaitForLSN comes first). The walsender sends it from the flush on. So a
// transaction can have come by replication, and even be on screens, while no snapshot has
// it, for as long as a standby takes; and two transactions can become visible in another
// order than that of their commit records. Hence xids: a transaction is in the snapshot
// iff it had left the proc array (change.Snapshot.Has), whatever its LSN. The list of
// those in progress has top-level ids only, as pgoutput's Begin has; prepared transactions
// are in it until COMMIT PREPARED. It ends below Xmax, which is one above the highest id that
// has ended (latestCompletedXid in GetSnapshotData, src/backend/storage/ipc/procarray.c),
// not the next id to be given out: a transaction that has come by replication may be
// missing in the snapshot without being in the list.
//
// # Until
//
// After the snapshot was taken, a transaction of its own on another connection writes a
// logical message into the WAL: the mark. Every transaction that the snapshot has had
// inserted its commit record before it left the proc array, so before the snapshot, so
// before the mark: its LSN is smaller than Visibility.Until, the mark's end. The commit of
// the mark flushes the WAL up to there (XLogFlush), with commits that themselves did not wait for
// that (synchronous_commit = off); it never waits for a standby (synchronous_commit =
// local), so a snapshot can be taken while all commits of the application hang. And it is
// decoded like any transaction, so replication passes Until soon, also in a database where
// nothing else happens. Its prefix, [MarkPrefix], is no channel's.
//
// # Which rows
//
// Values are text under the same settings as on the replication connection, so they equal
// what pgoutput sends. Rows of tables that inherit from an ordinary table are left out, as
// the publication leaves them out; those of partitions are in.
//
// Postgres reads a row of an old snapshot with the table of now. TRUNCATE and rewriting
// forms of ALTER TABLE empty a table for snapshots from before ("MVCC Caveats"), and a
// column that was dropped and made anew is another one. So before the first row the table
// is locked until the snapshot is closed (ACCESS SHARE: nobody waits but TRUNCATE, DDL and
// who comes behind them), and what the catalog says in
// the snapshot must be what it says now and what the caller expects: else
// channel.ErrTableChanged. A new snapshot helps where only the snapshot was too old.
//
// Row level security is not applied, since rules decide who sees a row; where it would
// hide rows from the role, reading fails instead (row_security = off).
//
// # Resources
//
// At most Options.Connections connections are open, made when needed, closed after a
// minute without use. Rows are fetched by a cursor and handed on as they come out of the socket: nothing
// is buffered but one row here and [fetchRows] rows in the server, which spills those over
// work_mem to disk. Every statement has a time limit, and the server ends a snapshot that
// is left alone for that long. So whoever takes the rows must not wait for a client with
// them.
package snapshot
