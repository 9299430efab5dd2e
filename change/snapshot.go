package change

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot says which transactions a query sees, see pg_current_snapshot in "System
// Information Functions". Transaction ids have 64 bits here.
type Snapshot struct {
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
}

// Has reports whether the snapshot has what a transaction wrote that the log names by its
// 32-bit id. The id is one of the 2^32 around Xmax: half of them below, half from it on.
//
// It must be asked for every transaction that was logged before the snapshot and may be
// missing in it. To look only for those of InProgress in the log is not enough: one that
// came by replication and waits for a synchronous standby is not in the list when nothing
// with a higher id has ended, because then Xmax is its own id.
//
// A transaction that began later than the snapshot can only be above Xmax, and one that
// Xmax has left 2^31 behind is none that any log still holds. An id that never was is not
// visible: then its rows are sent, which does no harm.
func (s Snapshot) Has(xid uint32) bool {
	full := s.full(xid)
	if full < 0 || uint64(full) >= s.Xmax {
		return false
	}
	if uint64(full) < s.Xmin {
		return true
	}
	_, running := slices.BinarySearch(s.InProgress, uint64(full))
	return !running
}

// Ended reports whether all transactions had ended whose ids are from one to another, both
// included. Those that began before do not matter, however long they take.
func (s Snapshot) Ended(from, to uint32) bool {
	first, last := s.full(from), s.full(to)
	if last < 0 || uint64(last) >= s.Xmax {
		return false
	}
	i, _ := slices.BinarySearch(s.InProgress, uint64(max(first, 0)))
	return i == len(s.InProgress) || s.InProgress[i] > uint64(last)
}

// full is the id with the epoch that brings it closest to Xmax; negative: there is none.
func (s Snapshot) full(xid uint32) int64 { return int64(s.Xmax) + int64(int32(xid-uint32(s.Xmax))) }

// ParseSnapshot reads the text form of a pg_snapshot, "xmin:xmax:xip,xip", whose ids are
// full ones (xid8).
func ParseSnapshot(text string) (s Snapshot, err error) {
	bad := func() (Snapshot, error) {
		return Snapshot{}, fmt.Errorf("read pg_current_snapshot: %q is no snapshot", text)
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return bad()
	}
	if s.Xmin, err = parseXID(parts[0]); err != nil {
		return bad()
	}
	if s.Xmax, err = parseXID(parts[1]); err != nil {
		return bad()
	}
	for xid := range strings.SplitSeq(parts[2], ",") {
		if parts[2] == "" {
			break
		}
		n, err := parseXID(xid)
		if err != nil || n < s.Xmin || n >= s.Xmax {
			return bad()
		}
		s.InProgress = append(s.InProgress, n)
	}
	if s.Xmin > s.Xmax || !slices.IsSorted(s.InProgress) {
		return bad()
	}
	return s, nil
}

// parseXID reads a full transaction id; those of Postgres leave the sign bit free.
func parseXID(text string) (uint64, error) { return strconv.ParseUint(text, 10, 63) }
