// Package replication receives row changes from Postgres by logical replication:
// step 1 of the way of a row (docs/architecture.md). It keeps one replication
// connection (pgoutput, proto_version 1, messages on), copies what it receives
// into batches, appends those to the event log, and confirms to Postgres only what
// the log holds durably.
//
// # Confirm
//
//	received  >=  appended  >=  durable  >=  confirmed_flush_lsn
//
// The LSN confirmed is the log's durable WAL: every commit below it is on disk. It
// never goes backwards and is never zero. A keepalive's WAL end counts only when
// nothing received is unlogged and no transaction is open, and only after the log
// has recorded it, so confirmed_flush_lsn <= the log's WAL holds over restarts too.
//
// # What is logged, and who watches
//
// The log gets the changes of the tables that the target names and that are not
// [TableSpec].Private; all others, also of tables that merely are in the publication,
// only take their index, so positions do not depend on the target. A table is known by
// its OID and by its name, whichever the stream has.
//
// A [Watcher] sees the changes of Watched tables when they are received, so in commit
// order and before the log gets them or anything behind them. And transactions are given
// to the log whole: one that takes less than 128 KiB there is in one batch, which is
// sealed after its Commit was received. So whatever such a transaction does to sessions
// has been seen before any row of it is, and of a larger one before any row that follows.
// Options.OnMissed tells when changes were not in the stream, State.CaughtUp until when
// it is complete.
//
// # Memory
//
// Transactions stream through: at most one batch is filled while another is being
// written, 256 KiB each. When the log is slow or its disk is full the receiver
// stops reading, which stops the walsender; standby status updates go on meanwhile.
// After 15 s the connection is given up until the log can be written again: a
// walsender that cannot send keeps Postgres from shutting down, and from invalidating
// the slot.
//
// # The slot
//
// It is in one of the states of [SlotState]. It is looked at for as long as Run runs,
// also while nobody can stream from it, and a look that fails makes it unknown. It is
// created where it is missing and never dropped but by [Teardown]: a lost one stays
// until a person has dropped it, and is then made anew, without a restart.
//
// # Failures
//
// A lost connection is tried again with jittered backoff, for ever, with one log
// line when it is lost, one when a cause appears that only a person can mend, and one
// when it is back. Errors that need a person before the first stream ([PermanentError],
// [PreflightError], [SlotInUseError] after a while) end Run.
package replication
