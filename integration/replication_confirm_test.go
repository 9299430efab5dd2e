package integration

import (
	"fmt"
	"testing"
)

// On an idle database the slot moves on with the WAL that other databases write:
// else it would keep all of that.
func TestReplicationConfirmIdle(t *testing.T) {
	t.Parallel()
	db, busy := newDatabase(t, "create table items (id int primary key)"), newDatabase(t, "create table noise (n int)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	for range 2 {
		busy.exec(t, "insert into noise select generate_series(1, 1000)")
		written := busy.walEnd(t)
		eventually(t, func() string {
			if at := db.confirmed(t); at < written {
				return fmt.Sprintf("confirmed_flush_lsn is %s, before %s", at, written)
			}
			return ""
		})
		// What was confirmed is remembered: the next start does not take it for a gap.
		r.kill9(t)
		r.start(t)
		r.waitReady(t)
		s.reconnect(t)
		s.wantResumed(t)
	}
	wantLines(t, "after that", s.told(t, db, "items", "insert into items values (1)"), []string{`1.0 items insert {"id":1} {"id":1}`})
}
