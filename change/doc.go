// Package change holds the domain types of walrelay: positions, relations,
// tuples, and the batches of changes that travel from the WAL to the browser.
// It is step 1½ of the way of a row (see docs/architecture.md) and imports
// nothing else of this module.
//
// # Positions
//
// A change is named by (commit LSN, index): the LSN of the commit record of its
// transaction and the 0-based number of the message within that transaction,
// counting every row, truncate and logical message received in it, whether or
// not a rule uses it. Commit order is total, so positions are too; the same WAL
// gives the same positions however often it is decoded.
//
// # Batches
//
// A [Batch] is a run of changes in position order. It is built once by a
// [Builder], never changed afterwards, owns its bytes, and may be read by any
// number of goroutines at once. Its body is what the event log stores:
//
//	body   := record*
//	record := kind(1) ...
//	  'X'  commit LSN(8) xid(4) commit time(8, µs since 2000-01-01) uvarint index    the records that follow belong to this transaction
//	  'I' 'U' 'D'  uvarint relation  uvarint length  tuples as pgoutput sent them      one row
//	  'i' 'u' 'd'  the same, but columns were left out because the row was too large
//	  'T'  flags(1) uvarint n  n × uvarint relation                                    TRUNCATE
//	  'M'  uvarint length prefix  uvarint length content                               logical message
//
// Integers are big endian, relations are indices into Batch.Relations. Every
// record but 'X' takes the next index of its transaction. A transaction may
// span batches; each batch then begins with an 'X' that says where it goes on.
//
// What this package does not do: it decides nothing about who may see a change,
// and it performs no I/O.
package change
