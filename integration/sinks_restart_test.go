package integration

import (
	"syscall"
	"testing"
	"time"
)

// walrelay is ended in the middle of a burst to 500 streams. Told to, it tells each when to come
// back and ends its body; killed, no body has an end. Whoever comes back goes on where it was.
func TestSinksEndInBurst(t *testing.T) {
	t.Parallel()
	const size = 500
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, itemsTable)
			r := startRelay(t, db, settings{http: "limits: {per_ip: 100000}", channels: itemsChannels}.yaml())
			f := openFleet(t, r, "items", size)
			rows := db.writeRows(t, "items", 2*time.Millisecond)
			f.await(t, "20 rows", func(m *member) bool { return m.row.Load() >= 20 })
			r.signal(t, signal)
			exit := r.wait(t)
			if signal == syscall.SIGTERM && exit.code != 0 {
				t.Errorf("exit code %d; last line: %s", exit.code, exit.lastLine)
			}
			last := rows.stop(t)
			r.start(t)
			f.finish(t, last)
			waits := map[time.Duration]bool{}
			for _, m := range f.members {
				end := m.ends[0]
				told := end.reason == "draining" && end.retry > 100*time.Millisecond && end.retry < 10*time.Second && end.err == nil
				cut := end.reason == "" && end.err != nil
				if signal == syscall.SIGTERM && !told || signal == syscall.SIGKILL && !cut {
					t.Fatalf("a stream ended with %+v", end)
				}
				waits[end.retry] = true
			}
			if signal == syscall.SIGTERM && len(waits) < size/4 {
				t.Errorf("%d streams are told %d times to come back", size, len(waits))
			}
			if n := r.metric(t, "walrelay_resets_total"); n != 0 {
				t.Errorf("%v resets", n)
			}
			t.Logf("%d rows", last)
		})
	}
}
