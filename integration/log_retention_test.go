package integration

import (
	"fmt"
	"testing"
)

// The log drops what a client has not had. One that is away is told when it comes
// back; one that is connected and reads nothing for long is told on its stream, and
// goes on; one that keeps up is never touched.
func TestLogRetentionPassesClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, log string }{
		{"by bytes", "max_bytes: 1MiB"},
		{"by age", "retention: 4s"}, // looked at every 10 s
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, numberedTable)
			r := startRelay(t, db, settings{http: "heartbeat: 5m, limits: {queue: 64KiB}", log: c.log, channels: "  items: {table: public.items, allow: public}\n"}.yaml())
			fast := liveWitness(t, r)
			insertNumbered(t, db, 1, 3)
			fast.wantExact(t, 3)
			absent := newWitness(t, r, fast.ids[2], 2)
			absent.wantExact(t, 3)
			absent.close()
			slow := &witness{sse: openSlowSSE(t, r.streamURL("items"), resumeAt(fast.ids[3])), next: 4, last: 3}
			slow.wantResumed(t)
			slow.pause()

			const rows = 2500 // 10 MB, more than all buffers on the way
			for fast.last < rows {
				first := fast.last + 1
				insertNumbered(t, db, first, min(first+99, rows))
				fast.wantExact(t, min(first+99, rows))
			}
			r.waitMetric(t, "walrelay_queue_overflows_total", func(v float64) bool { return v > 0 })
			passed := float64(positionOf(t, fast.ids[rows-500]).Commit)
			r.waitMetric(t, "walrelay_log_floor_lsn", func(v float64) bool { return v > passed })

			slow.resume()
			slow.wantTold(t, "expired")
			if slow.last >= rows {
				t.Errorf("the slow client has all %d rows", rows)
			}
			absent.reconnect(t)
			if absent.nextReady(t).Resumed {
				t.Error("the log has what it should have dropped")
			}
			absent.silent = true
			absent.wantTold(t, "expired")
			insertNumbered(t, db, rows+1, rows+20)
			for name, w := range map[string]*witness{"slow": slow, "absent": absent, "fast": fast} {
				w.wantExact(t, rows+20)
				if name != "fast" && w.next != rows+21 {
					t.Errorf("%s: %d", name, w.next)
				}
			}
			slow.reconnect(t) // the id after the reset is good
			slow.wantResumed(t)
			if n := fmt.Sprint(r.metric(t, `walrelay_resets_total{reason="expired"}`), r.metric(t, "walrelay_resets_total")); n != "2 2" {
				t.Errorf("%s resets expired and in all, want 2", n)
			}
		})
	}
}
