package channel

import "slices"

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
func (v Visibility) Has(xid uint32) bool {
	full := int64(v.Xmax) + int64(int32(xid-uint32(v.Xmax)))
	if full < 0 || uint64(full) >= v.Xmax {
		return false
	}
	if uint64(full) < v.Xmin {
		return true
	}
	_, running := slices.BinarySearch(v.InProgress, uint64(full))
	return !running
}
