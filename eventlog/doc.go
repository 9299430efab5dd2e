// Package eventlog keeps the changes of the recent past: durable, in order and
// bounded. It is step 2 of the way of a row (see docs/architecture.md):
// replication appends batches, every subscriber reads them as a cursor.
//
// # Promises
//
//   - [Log.Append] returns nil when the batch survives a crash of the machine.
//     Only then may its WAL position be confirmed to Postgres.
//   - Readers see a batch as soon as Append has taken it, before it is durable:
//     after a crash replication decodes the same WAL to the same positions, so
//     nobody can tell.
//   - Batches form a chain: Prev of each is Last of the one before. [Log.Next]
//     follows it and skips nothing. Where the chain is broken, a checksum is wrong
//     or a relation is missing, it returns [ErrCorrupt] and goes no further.
//   - A batch comes whole or not at all, also at the edge of the retention.
//   - Floor, head and WAL are recovered by [Open], before anyone reads or appends.
//
// What may block: Append, [Log.Begin] and [Log.SetTimeline] wait for the disk and
// for each other. Next waits for the disk only when the batch is neither in the
// memory tail nor in the cache. [Log.Bounds] and [Log.Changed] never wait for I/O.
//
// What this package does not do: it does not look into a batch's body, it decides
// nothing about who may see it, and it never drops a change to make room for
// another except by the retention it was given.
//
// # Layers
//
// [Log] is the layer that does not depend on the storage: memory tail, chunk
// cache, checks of position and chain, retention. Below it stands an [Engine];
// [OpenBolt] is the one for a single machine. Every engine passes the suite in
// enginetest.
//
// # Positions
//
//	        Floor                               Durable                 Last
//	dropped   |  on disk                           |  in memory only     |
//	----------+------------------------------------+---------------------+--> positions
//	           cache, engine                 tail ^                      ^ next Append has Prev here
//
// Floor is the Last of the newest batch that was dropped, or the genesis of the
// generation. A cursor below it is answered with [ErrTrimmed]. A fully aged-out
// log has Floor == Last and still knows where it stands.
//
// # A record
//
// What an engine stores per batch. Integers are big endian.
//
//	record := version(1)=1 crc(4) flags(1) prev(16) first(16) last(16) wal(8) time(8)
//	          changes(4) size(4) n(4) n × relation id(8) body
//	crc    := CRC-32C of everything but itself
//	flags  := 1: body is compressed (S2 block format)
//	prev, first, last := commit LSN(8) index(8)
//	time   := microseconds since 1970-01-01
//	size   := bytes of the body before compression
//	body   := as package change defines it
//
// Relation definitions and the lineage are stored beside the records as
// crc(4) JSON, the CRC-32C being that of the JSON.
//
// # The directory of the bolt engine
//
//	lock                      held exclusively (flock) by the one process, contains its pid
//	segment-0000000007.db     bbolt files; batches go to the newest, the others are read only
//	segment-0000000008.db
//
// Each segment is complete in itself, with these buckets:
//
//	records     last(16) piece(4) -> up to 984 bytes of a record
//	relations   id(8)             -> definition, for all records of the segment
//	state       "state"           -> version(1)=1 crc(4) epoch(8) base(16) last(16) wal(8) count(8) oldest(8) newest(8)
//	            "meta"            -> lineage and history
//
// base is Last of the segment before, epoch the number of the generation's first
// segment: files below the newest segment's epoch are left over and removed.
//
// Records are cut into pieces because bbolt rewrites the whole last leaf page on
// every commit, and a leaf holds up to five values however large they are: with
// whole records of 20 kB each append wrote five of them.
//
// Retention removes whole segments, oldest first. A bbolt file never shrinks, and
// one that has shed much carries a list of free pages that every commit writes
// again; removing files gives the space back and costs appends nothing. A segment
// is closed at 1/16 of the size or of the age allowed, so a log keeps at least
// 15/16 of max_bytes, and changes at most 1/16 longer than the retention. A clock that
// is set back makes that longer by as much, never shorter; one that is set forward ages
// everything at once.
package eventlog
