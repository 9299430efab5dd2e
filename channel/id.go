package channel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// EventID is what an SSE id says: everything up to At is known to the client.
type EventID struct {
	At change.Position
	// Tag is the view tag, empty for an id from outside such as pg_current_wal_lsn().
	Tag string
}

// String gives the wire form, 0/16B3748.3.k7x2mq.
func (e EventID) String() string { return string(e.Append(nil)) }

// Append appends the form of String to dst.
func (e EventID) Append(dst []byte) []byte {
	dst = e.At.Append(dst)
	if e.Tag != "" {
		dst = append(append(dst, '.'), e.Tag...)
	}
	return dst
}

// Text is the form of String, and nothing of the zero EventID, which stands for no id.
func (e EventID) Text() string {
	if e == (EventID{}) {
		return ""
	}
	return e.String()
}

// AppendFrame appends the frame that has the id and nothing else: its line and the blank line that
// ends every frame.
func (e EventID) AppendFrame(dst []byte) []byte {
	return append(e.Append(append(dst, "id: "...)), "\n\n"...)
}

// maxID bounds an id's length; the longest well-formed one has 45 bytes.
const maxID = 64

// ParseEventID reads the three forms of an id: 0/16B3748.3.k7x2mq, 0/16B3748.3
// and a bare 0/16B3748, which means everything committed before that LSN.
func ParseEventID(s string) (EventID, error) {
	if len(s) > maxID {
		return EventID{}, fmt.Errorf("event id of %d bytes (longest is %d)", len(s), maxID)
	}
	lsn, rest, hasIndex := strings.Cut(s, ".")
	commit, err := change.ParseLSN(lsn)
	if err != nil {
		return EventID{}, fmt.Errorf("event id %q: %w", s, err)
	}
	if !hasIndex {
		return EventID{At: change.Before(commit)}, nil
	}
	num, tag, hasTag := strings.Cut(rest, ".")
	index, err := strconv.ParseUint(num, 10, 64)
	if err != nil || num[0] == '+' {
		return EventID{}, fmt.Errorf("event id %q: %q is not an index (expected the form 0/16B3748.3.k7x2mq)", s, num)
	}
	if hasTag && !validTag(tag) {
		return EventID{}, fmt.Errorf("event id %q: %q is not a view tag (expected the form 0/16B3748.3.k7x2mq)", s, tag)
	}
	return EventID{At: change.Position{Commit: commit, Index: index}, Tag: tag}, nil
}

func validTag(s string) bool {
	if len(s) != tagLen {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
