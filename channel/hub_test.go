package channel

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// TestLive: ready first, then events from the subscriber's point of view.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		all, room := h.subscribe("", "all"), h.subscribe("", "room/07")
		want(t, drain(all), `ready 0/FF.0 {"resumed":false,"channels":["all"],"position":"0/100"}`)
		want(t, drain(room), `ready 0/FF.0 {"resumed":false,"channels":["room/7"],"position":"0/100"}`)
		h.tx(insert(1, 7, "a"), insert(2, 8, "b"))
		h.tx(update(2, 8, "b", 2, 7, "b")) // enters room 7
		h.tx(update(1, 7, "a", 1, 8, "a")) // leaves it
		h.tx(update(2, 7, "b", 3, 7, "b")) // key change
		h.tx(update(3, 7, "b", 3, 7, "-")) // unchanged TOAST is filled from the old tuple
		h.tx(remove(3, 7, "b"), remove(1, 8, "a"))
		want(t, drain(room),
			`insert 0/100.0 {"channel":"room/7","op":"insert","key":{"id":1},"row":{"id":1,"body":"a"},"params":{"room":7}`,
			`insert 0/110.0 {"channel":"room/7","op":"insert","key":{"id":2},"row":{"id":2,"body":"b"},"params":{"room":7}`,
			`delete 0/120.0 {"channel":"room/7","op":"delete","key":{"id":1},"params":{"room":7}`,
			`delete  {"channel":"room/7","op":"delete","key":{"id":2},"params":{"room":7}`,
			`insert 0/130.0 {"channel":"room/7","op":"insert","key":{"id":3},"row":{"id":3,"body":"b"},"params":{"room":7}`,
			`update 0/140.0 {"channel":"room/7","op":"update","key":{"id":3},"row":{"id":3,"body":"b"},"params":{"room":7}`,
			`delete 0/150.0 {"channel":"room/7","op":"delete","key":{"id":3},"params":{"room":7}`)
		if got := len(drain(all)); got != 9 {
			t.Errorf("all: %d events, want 9", got)
		}
	})
}

// TestOneRowTwoChannels: of several events at one position only the last carries
// the id, so that a cut between them repeats instead of losing.
func TestOneRowTwoChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "room/7", "all")
		drain(s)
		h.tx(insert(1, 7, "a"))
		want(t, drain(s),
			`insert  {"channel":"all","op":"insert","key":{"id":1},"row":{"id":1,"room":7,"body":"a"}`,
			`insert 0/100.0 {"channel":"room/7","op":"insert","key":{"id":1},"row":{"id":1,"body":"a"},"params":{"room":7}`)
	})
}

// TestResumeAnywhere: from every id that a subscriber has ever seen (events and
// heartbeats) it gets exactly the rest.
func TestResumeAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		type point struct {
			id   string
			seen int
		}
		var all []string
		var points []point
		for i := range 30 {
			for _, e := range drain(s) {
				if !strings.HasPrefix(e, "ready") {
					all = append(all, e)
				}
			}
			points = append(points, point{lastID(s), len(all)})
			ops := []func(*change.Builder, *change.Relation){}
			for j := range i % 4 {
				ops = append(ops, insert(100*i+j, 7, "x"))
			}
			h.tx(ops...)
		}
		all = append(all, drain(s)...)
		for _, p := range points {
			r := h.subscribe(p.id, "all")
			got := drain(r)
			if !strings.Contains(got[0], `"resumed":true`) {
				t.Fatalf("%s: %s", p.id, got[0])
			}
			if d := cmp.Diff(all[p.seen:], got[1:]); d != "" && len(all[p.seen:])+len(got[1:]) > 0 {
				t.Errorf("resume at %s (-want +got):\n%s", p.id, d)
			}
			r.Close()
		}
	})
}

// TestBareLSN: a commit at exactly that LSN is sent; it is not known yet.
func TestBareLSN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		h.tx(insert(1, 7, "a"))
		h.tx(insert(2, 7, "b"))
		want(t, drain(h.subscribe("0/110", "all"))[1:], `insert 0/110.0 {"channel":"all","op":"insert","key":{"id":2},"row":{"id":2,"room":7,"body":"b"}`)
	})
}

// TestResets: what cannot be exact says so, and after the last reset the id is that
// of now; before it the client keeps its own, so that a cut asks again.
func TestResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		h.tx(insert(1, 7, "a"))
		synctest.Wait() // the live lane has passed what is trimmed now
		h.log.update(func() {
			h.log.bounds.Floor = change.Position{Commit: 0x100}
			h.log.history = []eventlog.Ended{{Lineage: eventlog.Lineage{SystemID: "1", Generation: 0}, Reason: "gap", Last: change.Position{Commit: 0xE8}}}
		})
		a, err := findAudience(h.rules, "all", nil)
		if err != nil {
			t.Fatal(err)
		}
		tag, old := viewTag([]*audience{a}, h.log.bounds.Lineage), viewTag([]*audience{a}, h.log.history[0].Lineage)
		for id, reason := range map[string]string{
			"0/F0.0." + tag:    "expired",
			"0/100.0.zzzzzz":   "view",
			"0/F0.0.zzzzzz":    "expired",
			"0/E0.0.zzzzzz":    "expired",
			"0/E0.0." + old:    "gap",
			"0/100.0." + old:   "gap",
			"0/F0":             "expired",
			"0/E0":             "gap",
			"0/E8.0":           "gap",
			"nonsense":         "unknown-id",
			"0/1.x":            "unknown-id",
			"0/1.1.toolongtag": "unknown-id",
		} {
			s := h.subscribe(id, "all")
			got := drain(s)
			want(t, got[1:], `reset 0/10F.0 {"channel":"all","reason":"`+reason+`"}`)
			if !strings.Contains(got[0], `"resumed":false`) {
				t.Errorf("%s: %s", id, got[0])
			}
			if strings.Contains(id, tag) && !strings.HasPrefix(got[0], "ready 0/F0.0 ") {
				t.Errorf("%s: ready moved the id before reset: %s", id, got[0])
			}
			s.Close()
		}
	})
}

// TestSlowSubscriber: a full queue costs nobody else anything, and loses nothing.
func TestSlowSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 2000})
		defer h.run()()
		slow, fast := h.subscribe("", "all"), h.subscribe("", "all")
		var quick []string
		for i := range 200 {
			h.tx(insert(i, 7, strings.Repeat("x", 50)), insert(1000+i, 7, "y"))
			quick = append(quick, drain(fast)...)
		}
		if h.Stats().Overflows == 0 {
			t.Fatal("the queue never overflowed")
		}
		slow.mu.Lock()
		held := slow.queued
		slow.mu.Unlock()
		if held > 2000 {
			t.Errorf("%d bytes queued", held)
		}
		if d := cmp.Diff(quick, drain(slow)); d != "" {
			t.Errorf("slow against fast:\n%s", d)
		}
	})
}

// TestStorm: many who come back at once cost a few passes over the log.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		id := lastIDAfterReady(h)
		for i := range 500 {
			h.tx(insert(i, 7, "x"))
		}
		h.log.mu.Lock()
		h.log.reads = 0
		h.log.mu.Unlock()
		var subs []*Subscriber
		for range 300 {
			subs = append(subs, h.subscribe(id, "all"))
		}
		for _, s := range subs {
			if got := len(drain(s)); got != 501 {
				t.Fatalf("%d events", got)
			}
		}
		if h.log.reads > 20*501 {
			t.Errorf("%d reads for 300 clients over 500 batches", h.log.reads)
		}
	})
}

func lastIDAfterReady(h *testHub) string {
	s := h.subscribe("", "all")
	defer s.Close()
	drain(s)
	return lastID(s)
}

// TestHeartbeat: it moves with the log when nothing matches, and never passes what
// is queued.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "room/9")
		if lastID(s) != "" {
			t.Error("a heartbeat before ready was taken")
		}
		drain(s)
		h.tx(insert(1, 7, "a"))
		if id, _, _ := cutTag(lastID(s)); id != "0/10F.0" {
			t.Errorf("heartbeat at %s", id)
		}
		h.tx(insert(1, 9, "a"))
		if id := lastID(s); id != "" {
			t.Errorf("heartbeat %s ahead of a queued event", id)
		}
		drain(s)
		if got := s.Complete(); !strings.HasPrefix(got.String(), "0/11F.0.") || got.String() != s.LastID() {
			t.Errorf("complete up to %s, %s", got, s.LastID())
		}
	})
}

// TestAhead: an id ahead of the log waits for it, and gets what follows; when the
// log does not get there the client is reset.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		near, far := h.subscribe("0/110.0", "all"), h.subscribe("7/0", "all")
		h.tx(insert(1, 7, "a"))
		h.tx(insert(2, 7, "b"))
		h.tx(insert(3, 7, "c"))
		want(t, drain(near)[1:], `insert 0/120.0 {"channel":"all","op":"insert","key":{"id":3},"row":{"id":3,"room":7,"body":"c"}`)
		if got := drain(far); len(got) != 1 {
			t.Errorf("%q", got)
		}
		time.Sleep(31 * time.Second)
		want(t, drain(far), `reset 0/12F.0 {"channel":"all","reason":"unknown-id"}`)
		h.tx(insert(4, 7, "d"))
		if got := drain(far); len(got) != 1 {
			t.Errorf("after the reset: %q", got)
		}
		if got := drain(near); len(got) != 1 {
			t.Errorf("near: %q", got)
		}
	})
}

// TestAheadWhilePostgresIsAway: without Postgres nobody can know whether an id that is
// ahead will be reached, so the wait goes on; with it, an idle log is no excuse.
func TestAheadWhilePostgresIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var following atomic.Bool
		h := newTestHub(t, Options{Following: following.Load})
		defer h.run()()
		s := h.subscribe("7/0", "all")
		drain(s)
		time.Sleep(time.Hour)
		want(t, drain(s))
		following.Store(true)
		time.Sleep(29 * time.Second) // the wait that is running began without Postgres
		want(t, drain(s))
		time.Sleep(time.Minute)
		want(t, drain(s), `reset 0/FF.0 {"channel":"all","reason":"unknown-id"}`)
	})
}

// TestTruncateAndMessage: events that are no rows.
func TestTruncateAndMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "room/7", "all")
		drain(s)
		h.tx(func(b *change.Builder, r *change.Relation) { b.Truncate([]*change.Relation{r}, false, false) })
		got := drain(s)
		if len(got) != 2 || !strings.Contains(got[1], "reset 0/100.0 ") || !strings.Contains(got[0]+got[1], `{"channel":"room/7","reason":"truncate"}`) {
			t.Errorf("%q", got)
		}
		h.tx(func(b *change.Builder, _ *change.Relation) {
			b.Message("walrelay:room/7", []byte("{\"a\":\n 1}"))
			b.Message("other:room/7", []byte("1"))
			b.Message("walrelay:all", []byte("not json"))
			b.Message("walrelay:room/8", []byte("1"))
		})
		want(t, drain(s),
			`message 0/110.0 {"channel":"room/7","op":"message","data":{"a":1},"params":{"room":7}`,
			`message 0/110.2 {"channel":"all","op":"message","data":"not json"`)
	})
}

// TestLogFaults: a damaged log gives resets, a new generation ends the streams, and
// what comes back is told why.
func TestLogFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		drain(s)
		id := lastID(s)
		h.log.mu.Lock()
		h.log.broken = eventlog.ErrCorrupt
		h.log.mu.Unlock()
		h.tx(insert(1, 7, "a"))
		want(t, drain(s), `reset 0/100.0 {"channel":"all","reason":"gap"}`)

		h.log.update(func() {
			h.log.history = []eventlog.Ended{{Lineage: h.log.bounds.Lineage, Reason: "gap"}}
			h.log.bounds.Lineage.Generation++
			h.log.batches = nil
			h.log.bounds.Floor, h.log.bounds.Last, h.log.bounds.WAL = change.Before(0x500), change.Before(0x500), 0x500
		})
		synctest.Wait()
		if reason, ended := s.Ended(); !ended || reason != "gap" {
			t.Errorf("ended %v %q", ended, reason)
		}
		s.Close()
		want(t, drain(h.subscribe(id, "all"))[1:], `reset 0/4FF.0 {"channel":"all","reason":"gap"}`)
	})
}

func TestSubscribeErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"all"}}); !errors.Is(err, ErrStarting) {
			t.Errorf("before Run: %v", err)
		}
		stop := h.run()
		var unknown *UnknownChannelError
		var param *ParamError
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"nope"}}); !errors.As(err, &unknown) {
			t.Errorf("%v", err)
		}
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"room/x"}}); !errors.As(err, &param) {
			t.Errorf("%v", err)
		}
		s := h.subscribe("", "all")
		stop()
		if reason, _ := s.Ended(); reason != "draining" {
			t.Errorf("%q", reason)
		}
		s.Close()
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"all"}}); !errors.Is(err, ErrDraining) {
			t.Errorf("after Run: %v", err)
		}
		if n := len(h.views); n != 0 {
			t.Errorf("%d views left", n)
		}
	})
}

// TestCloseEverywhere: closing leaves nothing in any index.
func TestCloseEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		var subs []*Subscriber
		for i := range 50 {
			subs = append(subs, h.subscribe("", fmt.Sprintf("room/%d", i%7), "all"))
		}
		for _, s := range subs {
			s.Close()
			s.Close()
		}
		synctest.Wait()
		x := h.live.index
		if len(x.views) != 0 || len(x.named) != 0 || len(x.rules[h.rules[1]].audiences) != 0 || len(h.members) != 0 {
			t.Errorf("left: %d views, %d names, %d audiences, %d members", len(x.views), len(x.named), len(x.rules[h.rules[1]].audiences), len(h.members))
		}
	})
}

// TestLineageGoesBack: after an older disk was restored the new positions lie below
// the lane's own; nothing of them may be taken for known.
func TestLineageGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		h.tx(insert(1, 7, "a"))
		s := h.subscribe("", "all")
		drain(s)
		id := lastID(s)
		h.log.update(func() {
			h.log.history = []eventlog.Ended{{Lineage: h.log.bounds.Lineage, Reason: "lineage"}}
			h.log.bounds.Lineage.Generation++
			h.log.batches = nil
			h.log.bounds.Floor, h.log.bounds.Last, h.log.bounds.WAL = change.Before(0x40), change.Before(0x40), 0x40
			h.commit, h.builder = 0x40, change.NewBuilder(change.Before(0x40), 0x40)
		})
		back := h.subscribe(id, "all") // may come before the lane has seen it
		if reason, ended := s.Ended(); !ended || reason != "lineage" {
			t.Errorf("ended %v %q", ended, reason)
		}
		h.tx(insert(2, 7, "b"))
		want(t, drain(back)[1:],
			`reset 0/3F.0 {"channel":"all","reason":"lineage"}`,
			`insert 0/40.0 {"channel":"all","op":"insert","key":{"id":2},"row":{"id":2,"room":7,"body":"b"}`)
	})
}
