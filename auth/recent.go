package auth

import (
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/slimmap"
)

// A change that comes by replication may not be visible to queries yet: for moments, or for
// as long as a synchronous standby takes. A look-up that does not see it would bring back a
// session that is over. So every change that concerns sessions is noted here, whether or not
// a session is known that it concerns, and a look-up counts only when its snapshot has them
// all.

const (
	// recentFor is how long a change is noted at least. Invariant: longer than lookupPatience,
	// so that of two snapshots this far apart the older belongs to no look-up under way.
	recentFor = 10 * time.Second
	// maxRecent bounds the notes; beyond it look-ups wait until all that was noted has ended.
	maxRecent = 200_000
)

// ref is what a change concerns: a row of a source's store, a user of one of its tables of
// depends, or all of its sessions.
type ref struct {
	source int
	// depend is the index in Depends, or one of those below.
	depend int
	who    tag
}

const (
	ofRow = -1 // who is the row's identity
	ofAll = -2 // who is zero
)

// recent are the notes. It is guarded by Sessions.mu.
type recent struct {
	// rows have the last transaction of each row: rows are locked until a change of them can
	// be seen, so that who sees the last one sees those before.
	rows map[ref]lastOfRow
	// others have all of a user, or of all sessions.
	others map[ref][]uint32
	count  int
	// peaks are those of the maps, for slimmap.
	peaks struct{ rows, others int }
	// dropped: notes were thrown away for want of room; floor and horizon are the lowest and the
	// highest of their ids.
	dropped        bool
	floor, horizon uint32
	// seen is the newest snapshot of a look-up, before the one of the last prune; each is zero
	// until there is one.
	seen, before change.Snapshot
	pruned       time.Time
}

// lastOfRow is a transaction, and where it was committed: ids say nothing of the order.
type lastOfRow struct {
	xid uint32
	at  change.LSN
}

func newRecent() recent {
	return recent{rows: map[ref]lastOfRow{}, others: map[ref][]uint32{}}
}

// note keeps a change.
func (r *recent) note(what ref, tx change.Tx) {
	if r.count >= maxRecent {
		r.drop()
	}
	if what.depend == ofRow {
		was, known := r.rows[what]
		if known && tx.Commit < was.at { // Postgres sends it again
			return
		}
		if !known {
			r.count++
		}
		r.rows[what] = lastOfRow{tx.XID, tx.Commit}
		return
	}
	xids := r.others[what]
	if n := len(xids); n > 0 && xids[n-1] == tx.XID {
		return
	}
	r.others[what] = append(xids, tx.XID)
	r.count++
}

// reorder forgets where transactions were committed, and who saw them: those that come now may be
// of another past.
func (r *recent) reorder() {
	r.seen, r.before = change.Snapshot{}, change.Snapshot{}
	for what, last := range r.rows {
		r.rows[what] = lastOfRow{xid: last.xid}
	}
}

// drop makes room by remembering two ids instead of all.
func (r *recent) drop() {
	for _, last := range r.rows {
		r.widen(last.xid)
	}
	for _, xids := range r.others {
		for _, xid := range xids {
			r.widen(xid)
		}
	}
	r.rows, r.others, r.count = map[ref]lastOfRow{}, map[ref][]uint32{}, 0
	r.peaks.rows, r.peaks.others = 0, 0
}

func (r *recent) widen(xid uint32) {
	if !r.dropped {
		r.dropped, r.floor, r.horizon = true, xid, xid
	}
	if int32(xid-r.horizon) > 0 {
		r.horizon = xid
	}
	if int32(xid-r.floor) < 0 {
		r.floor = xid
	}
}

// hides reports that a snapshot may lack a change that concerns any of what.
func (r *recent) hides(s change.Snapshot, what ...ref) bool {
	if r.dropped && !s.Ended(r.floor, r.horizon) {
		return true
	}
	for _, w := range what {
		if last, ok := r.rows[w]; ok && !s.Has(last.xid) {
			return true
		}
		for _, xid := range r.others[w] {
			if !s.Has(xid) {
				return true
			}
		}
	}
	return false
}

// saw takes in the snapshot of a look-up, and forgets what every look-up from now on sees.
func (r *recent) saw(s change.Snapshot, now time.Time) {
	if s.Xmax >= r.seen.Xmax {
		r.seen = s
	}
	if now.Sub(r.pruned) < recentFor {
		return
	}
	r.pruned = now
	if r.before.Xmax > 0 {
		r.prune(r.before)
	}
	r.before = r.seen
}

func (r *recent) prune(s change.Snapshot) {
	if r.dropped && s.Ended(r.floor, r.horizon) {
		r.dropped = false
	}
	for what, last := range r.rows {
		if s.Has(last.xid) {
			slimmap.Delete(&r.rows, &r.peaks.rows, what)
			r.count--
		}
	}
	for what, xids := range r.others {
		kept := xids[:0]
		for _, xid := range xids {
			if !s.Has(xid) {
				kept = append(kept, xid)
			}
		}
		r.count -= len(xids) - len(kept)
		if r.others[what] = kept; len(kept) == 0 {
			slimmap.Delete(&r.others, &r.peaks.others, what)
		}
	}
}
