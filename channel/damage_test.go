package channel

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// damagedHistory is slow to read and has one batch that cannot be read.
type damagedHistory struct {
	*memLog
	bad change.Position // its last position
}

func (l damagedHistory) Next(after change.Position) (*change.Batch, error) {
	time.Sleep(time.Second)
	b, err := l.memLog.Next(after)
	if b != nil && b.Last == l.bad {
		return nil, eventlog.ErrCorrupt
	}
	return b, err
}

// TestDamageBehind: of those who share a pass over the log only those whose changes
// are damaged are reset.
func TestDamageBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		for i := range 10 {
			h.tx(insert(i, 1, "x"))
		}
		h.events = damagedHistory{h.log, change.Position{Commit: 0x140}}
		defer h.run()()
		h.subscribe("0/150.0", "all") // its pass keeps the others waiting
		before, at, behind := h.subscribe("0/110.0", "all"), h.subscribe("0/130.0", "all"), h.subscribe("0/140.0", "all")
		time.Sleep(time.Minute)
		for name, s := range map[string]*Subscriber{"before": before, "at": at} {
			if got := drain(s); !strings.HasPrefix(got[len(got)-1], "reset ") {
				t.Errorf("%s the damage: %q", name, got)
			}
		}
		got := drain(behind)
		if len(got) != 6 || !strings.HasPrefix(got[1], "insert 0/150.0 ") || !strings.HasPrefix(got[5], "insert 0/190.0 ") {
			t.Errorf("behind the damage: %q", got)
		}
	})
}
