package channel

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// beginBelow starts a new generation whose positions lie below the live lane's: an
// older state of the cluster was restored.
func (h *testHub) beginBelow(floor change.LSN) {
	h.log.update(func() {
		h.log.history = append(h.log.history, eventlog.Ended{Lineage: h.log.bounds.Lineage, Reason: "lineage"})
		h.log.bounds.Lineage.Generation++
		h.log.batches = nil
		h.log.bounds.Floor, h.log.bounds.Last, h.log.bounds.WAL = change.Before(floor), change.Before(floor), floor
	})
	h.commit, h.builder = floor, change.NewBuilder(change.Before(floor), floor)
}

// TestBehindAtGeneration: a subscriber that is off its lane when the log begins anew
// is not carried into the new generation with a view of the old one.
func TestBehindAtGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 1})
		defer h.run()()
		s := h.subscribe("", "all")
		for i := range 20 {
			h.tx(insert(i, 1, "x"))
			synctest.Wait()
		}
		if h.Stats().Overflows == 0 {
			t.Fatal("no overflow")
		}
		h.beginBelow(0x120)
		h.tx(insert(100, 1, "new"))
		for range 5 {
			drain(s)
			time.Sleep(time.Minute)
		}
		if reason, ended := s.Ended(); !ended || reason != "lineage" {
			t.Errorf("ended %v %q", ended, reason)
		}
	})
}

// TestNamesDoNotCollide: a value that looks like a parameter is not one.
func TestNamesDoNotCollide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "doc/{body}/{room}"}, "row.body == params.body && row.room == params.room", "public")}})
		defer h.run()()
		odd, plain := h.subscribe("", "doc/{room}/7"), h.subscribe("", "doc/7/7")
		drain(odd)
		drain(plain)
		h.tx(insert(1, 7, "7"))
		if got := drain(plain); len(got) != 1 {
			t.Errorf("doc/7/7 got %q", got)
		}
		if got := drain(odd); len(got) != 0 {
			t.Errorf("doc/{room}/7 got %q", got)
		}
		for _, name := range []string{"doc/a\x00b/7", "doc/a\xffb/7"} {
			if _, err := h.Subscribe(t.Context(), Request{Channels: []string{name}}); err == nil {
				t.Errorf("%q accepted", name)
			}
		}
	})
}

// TestSuspended: changes that a rule cannot judge (its column is gone, or left the
// replica identity) are not delivered and not passed over in silence.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "room/1", "all")
		drain(s)
		full := h.rel
		text := &change.Type{OID: 25, Name: "text"}
		h.rel = &change.Relation{ID: 2, OID: 7, Schema: "public", Name: "t", Identity: 'd', Key: []int{0}, Columns: []change.Column{
			{Name: "id", Identity: true, Type: bigint()}, {Name: "room", Type: bigint()}, {Name: "body", Type: text}}}
		leave := func(b *change.Builder, r *change.Relation) {
			b.Row(change.Update, r, append([]byte{'N'}, tup("1", "2", "a")...), false)
		}
		h.tx(leave, leave)
		want(t, drain(s),
			`update  {"channel":"all","op":"update","key":{"id":1},"row":{"id":1,"room":2,"body":"a"}`,
			`reset 0/100.0 {"channel":"room/1","reason":"gap"}`,
			`update  {"channel":"all","op":"update","key":{"id":1},"row":{"id":1,"room":2,"body":"a"}`,
			`reset 0/100.1 {"channel":"room/1","reason":"gap"}`)
		again := h.subscribe("0/100.0", "room/1", "all") // cut between the two
		want(t, drain(again)[1:],
			`update  {"channel":"all","op":"update","key":{"id":1},"row":{"id":1,"room":2,"body":"a"}`,
			`reset 0/100.1 {"channel":"room/1","reason":"gap"}`)
		again.Close()
		h.rel = full
		h.tx(insert(5, 1, "b"))
		if got := drain(s); len(got) != 2 {
			t.Errorf("after the repair: %q", got)
		}
	})
}

// TestTableAddedLater: what was committed before a table was published is not in the
// log, so ids from before cannot be continued on its channels.
func TestTableAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		h.tx(insert(1, 1, "a"))
		h.tx(insert(2, 1, "b"))
		synctest.Wait()
		h.log.setSince(0x110)
		want(t, drain(h.subscribe("0/100.0", "all"))[1:], `reset 0/10F.0 {"channel":"all","reason":"gap"}`,
			`insert 0/110.0 {"channel":"all","op":"insert","key":{"id":2},"row":{"id":2,"room":1,"body":"b"}`)
		want(t, drain(h.subscribe("0/110", "all"))[1:], `insert 0/110.0 {"channel":"all","op":"insert","key":{"id":2},"row":{"id":2,"room":1,"body":"b"}`)
	})
}

// TestOversizeBoundValue: a row that is too large, of which the bound value had to be
// left out, is nobody's and everybody's: all audiences of the rule are reset.
func TestOversizeBoundValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "room/1")
		drain(s)
		h.tx(func(b *change.Builder, r *change.Relation) {
			row := []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}
			b.Row(change.Insert, r, row, true)
		})
		want(t, drain(s), `reset 0/100.0 {"channel":"room/1","reason":"gap"}`)
	})
}

// setSince notes that public.t is complete only from the LSN on.
func (l *memLog) setSince(since change.LSN) {
	l.update(func() {
		l.since = map[string]change.LSN{"public.t": since}
		l.late++
	})
}

// TestTableAddedLaterWhileConnected: those who are connected when a table is found
// missing in the publication, and is added again, are told where they pass that place,
// whether a change or an idle WAL end carries them over it.
func TestTableAddedLaterWhileConnected(t *testing.T) {
	for name, pass := range map[string]func(*testHub){
		"change": func(h *testHub) { h.tx(insert(2, 1, "b")) },
		"idle":   func(h *testHub) { h.log.update(func() { h.log.bounds.WAL = 0x200 }); h.commit = 0x200 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTestHub(t, Options{})
				defer h.run()()
				s := h.subscribe("", "all", "room/1")
				h.tx(insert(1, 1, "a"))
				drain(s)
				h.log.setSince(math.MaxUint64) // found missing
				synctest.Wait()
				h.commit = 0x120
				h.log.setSince(0x120)
				want(t, drain(s))
				behind := h.subscribe("0/11F.0", "all")
				pass(h)
				want(t, drain(s)[:2], `reset  {"channel":"all","reason":"gap"}`, `reset 0/11F.0 {"channel":"room/1","reason":"gap"}`)
				for _, line := range drain(behind)[1:] {
					if strings.HasPrefix(line, "reset") {
						t.Errorf("a client that is complete got %s", line)
					}
				}
				h.tx(insert(3, 1, "c"))
				if got := drain(s); len(got) != 2 {
					t.Errorf("afterwards: %q", got)
				}
			})
		})
	}
}

// TestTagKnowsItsBirth: a log that was begun on another timeline (a restored cluster,
// a new directory) is another lineage; a promotion is not.
func TestTagKnowsItsBirth(t *testing.T) {
	a := viewTag(nil, eventlog.Lineage{SystemID: "1", Timeline: 1, Born: 1, Generation: 1})
	if a == viewTag(nil, eventlog.Lineage{SystemID: "1", Timeline: 2, Born: 2, Generation: 1}) {
		t.Error("born on another timeline, same tag")
	}
	if a != viewTag(nil, eventlog.Lineage{SystemID: "1", Timeline: 2, Born: 1, Generation: 1}) {
		t.Error("a promotion changed the tag")
	}
}

// TestTagKnowsItsLog: a log that was removed and made anew counts the same numbers again,
// and is another. One of before there were names keeps its tags.
func TestTagKnowsItsLog(t *testing.T) {
	lin := eventlog.Lineage{SystemID: "1", Timeline: 1, Born: 1, Generation: 1}
	if got := viewTag(nil, lin); got != "r4be9c" {
		t.Errorf("without a name: %s", got)
	}
	one, other := lin, lin
	one.Nonce, other.Nonce = "ONE", "OTHER"
	if a, b := viewTag(nil, one), viewTag(nil, other); a == b || a == viewTag(nil, lin) {
		t.Errorf("%s of the one, %s of the other", a, b)
	}
}

// TestBareLSNOfAnotherPast: a page was rendered on a server whose past has ended since. The
// log has that position too by now, but of another past.
func TestBareLSNOfAnotherPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		for i := range 20 {
			h.tx(insert(i, 1, "old"))
		}
		synctest.Wait()
		ended := h.log.bounds.Last
		h.beginBelow(0x120)
		h.log.update(func() { h.log.history[0].Last = ended })
		for i := range 40 {
			h.tx(insert(100+i, 1, "new"))
		}
		synctest.Wait()
		if got := drain(h.subscribe("0/200", "all")); len(got) != 2 || !strings.Contains(got[1], `"reason":"lineage"`) {
			t.Errorf("at 0/200, which the ended past had: %d events, the first %s", len(got), got[0])
		}
		if got := drain(h.subscribe(change.Position{Commit: ended.Commit, Index: 1}.String(), "all")); !strings.Contains(got[0], `"resumed":true`) {
			t.Errorf("behind its end: %q", got[0])
		}
		h.log.update(func() { h.log.history[0].Reason = "gap" }) // the same past
		if got := drain(h.subscribe("0/200", "all")); !strings.Contains(got[0], `"resumed":true`) {
			t.Errorf("after a gap: %q", got[0])
		}
	})
}

// slowHistory makes every read of old batches cost time.
type slowHistory struct{ *memLog }

func (l slowHistory) Next(after change.Position) (*change.Batch, error) {
	if after.Less(l.InMemory()) {
		time.Sleep(10 * time.Second)
	}
	return l.memLog.Next(after)
}

func (l slowHistory) InMemory() change.Position { return change.Position{Commit: 0x200} }

// TestLongPassesDelayNobody: clients that read old history do not keep those waiting
// who were away for a moment.
func TestLongPassesDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		h.events = slowHistory{h.log}
		for i := range 40 {
			h.tx(insert(i, 1, "x"))
		}
		defer h.run()()
		for range 8 {
			h.subscribe("0/100", "all")
			time.Sleep(300 * time.Millisecond)
		}
		began := time.Now()
		s := h.subscribe("0/360.0", "all") // one row behind
		for n := 0; n < 2; {
			<-s.Changed()
			for _, r := range s.Take() {
				n += len(r.Frames)
			}
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}
