package eventlog

import "errors"

// The errors that a caller decides on. They come wrapped with the operation and
// its subject.
var (
	// ErrTrimmed: the position is below the floor. The subscriber needs a reset.
	ErrTrimmed = errors.New("older than the event log's retention")
	// ErrCorrupt: stored data is damaged or missing. Nothing is skipped over; the
	// subscriber needs a reset, the operator a look at the disk.
	ErrCorrupt = errors.New("event log is corrupt")
	// ErrUnavailable: the storage refused for now (disk full, I/O error). Try again.
	ErrUnavailable = errors.New("event log storage is unavailable")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("event log is closed")
)
