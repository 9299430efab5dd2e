package auth

import (
	"fmt"
	"testing"
	"time"
)

// TestSessionsAfterBurst: sessions that came and went take no memory, in whatever there is a place for each.
func TestSessionsAfterBurst(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		const burst = 3000
		streams := make([]*fakeStream, 0, burst)
		for i := range burst {
			name := fmt.Sprint("u", i)
			w.roles[name] = "user"
			w.have(sessionRow{id: name, token: "t-" + name, user: name, kind: "web"})
			streams = append(streams, w.enter("sid=t-"+name))
		}
		if n := w.figures(); n.sessions != burst || n.streams != burst || len(w.index.refs) < 2*burst {
			t.Fatalf("%+v", n)
		}
		for _, st := range streams {
			st.detach()
		}
		time.Sleep(idleFor + time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if x := &w.index; len(x.cookies)+len(x.known)+len(x.refs)+len(x.all) != 0 {
			t.Errorf("%d cookies, %d known, %d refs, %d in all are left", len(x.cookies), len(x.known), len(x.refs), len(x.all))
		}
		for name, peak := range map[string]int{"cookies": w.index.peaks.cookies, "known": w.index.peaks.known, "refs": w.index.peaks.refs, "all": w.index.peaks.all,
			"per session": w.open.peaks.session, "per user": w.open.peaks.person, "deadlines": cap(w.timers.due)} {
			if peak > burst/4 {
				t.Errorf("%s: there is room for %d", name, peak)
			}
		}
	})
}
