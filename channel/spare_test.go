package channel

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"unsafe"
)

// TestAfterBurst: subscribers that came and went leave no memory behind, in whatever there is a place for
// each: users with a view of their own, and many of one view.
func TestAfterBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 3000
		claims := claimsOf(t, "id bigint")
		rel := testRelation()
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, rel, Rule{Name: "mine"}, "", "row.room == user.id", claims...), ruled(t, rel, Rule{Name: "all"}, "", "public")}})
		defer h.run()()
		subs := []*Subscriber{h.subscribe("", "all")} // who stays
		for i := range burst {
			subs = append(subs, h.subscribeAs(userOf(t, claims, fmt.Sprintf(`{"id":%d}`, i)), "", "mine"), h.subscribe("", "all"))
		}
		synctest.Wait()
		x, mine := h.live.index, h.live.index.rules[h.rules[0]]
		if len(h.members) != 2*burst+1 || len(x.views) != burst+1 || len(mine.audiences) != burst || len(x.named["mine"]) != burst {
			t.Fatalf("%d members, %d views, %d audiences", len(h.members), len(x.views), len(mine.audiences))
		}
		for _, s := range subs[1:] {
			s.Close()
		}
		synctest.Wait()
		if len(h.members) != 1 || len(h.views) != 1 || len(x.views) != 1 || len(mine.audiences)+len(mine.postings[0])+len(x.named["mine"]) != 0 {
			t.Errorf("left: %d members, %d and %d views, %d audiences", len(h.members), len(h.views), len(x.views), len(mine.audiences))
		}
		v := x.views[subs[0].view]
		for name, room := range map[string]int{"members": h.peaks.members, "views": h.peaks.views, "views of the lane": x.peaks.views, "audiences": mine.peak, "postings": mine.peaks[0],
			"subscribers of the view": cap(v.subs), "audiences by name": cap(x.named["mine"])} {
			if room > burst/4 {
				t.Errorf("%s: there is room for %d", name, room)
			}
		}
		h.tx(insert(1, 2, "who stays"))
		if got := drain(subs[0]); len(got) != 2 || !strings.Contains(got[1], "who stays") {
			t.Errorf("who stays gets %q", got)
		}
	})
}

// TestPostingsShorten: users of one key come and go in any order, and the index finds those who are left.
func TestPostingsShorten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 3000
		claims := claimsOf(t, "id bigint", "org bigint")
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, "", "row.room == user.org && row.id != user.id", claims...)}})
		defer h.run()()
		var subs []*Subscriber
		for i := range burst {
			subs = append(subs, h.subscribeAs(userOf(t, claims, fmt.Sprintf(`{"id":%d,"org":1}`, i)), "", "mine"))
		}
		synctest.Wait()
		for i, s := range subs {
			if i%100 != 7 {
				s.Close()
			}
		}
		synctest.Wait()
		for key, list := range h.live.index.rules[h.rules[0]].postings[0] {
			if len(list) != burst/100 || cap(list) > burst/4 {
				t.Errorf("%q has %d postings, and room for %d", key, len(list), cap(list))
			}
		}
		h.tx(insert(107, 1, "for all but one"))
		for i := 7; i < burst; i += 100 {
			if got, want := len(drain(subs[i])), 2; i == 107 && got != 1 || i != 107 && got != want {
				t.Errorf("%d has %d events", i, got)
			}
		}
	})
}

// TestIdleLaneKeepsNoBatch: a lane that has nothing to do keeps no row of the batch that was the last one,
// nor buffers of its size.
func TestIdleLaneKeepsNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "name text")
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, "", "row.body == user.name || lower(row.body) == user.name", claims...)}})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"name":"x"}`), "", "mine")
		h.tx(update(1, 2, strings.Repeat("A", 1<<20), 1, 2, strings.Repeat("B", 1<<20)), insert(3, 4, "x"))
		synctest.Wait()
		var freed atomic.Bool // a channel would be of the bubble
		h.log.update(func() {
			runtime.AddCleanup(&h.log.batches[0].Body[0], func(b *atomic.Bool) { b.Store(true) }, &freed)
			h.log.batches = nil
		})
		synctest.Wait()
		l := h.live
		if room := cap(l.match.data) + cap(l.match.body[0]) + cap(l.match.body[1]) + cap(l.index.single.buf); room > 4*maxSpareText {
			t.Errorf("buffers have room for %d bytes", room)
		}
		for n := 0; n < 100 && !freed.Load(); n++ {
			runtime.GC()
			runtime.Gosched()
		}
		if !freed.Load() {
			t.Error("the batch is kept")
		}
		if got := drain(s); len(got) != 2 {
			t.Errorf("got %q", got)
		}
	})
}

// TestSubscriberKeepsNoRequest: of the texts that come with a request only names are kept.
func TestSubscriberKeepsNoRequest(t *testing.T) {
	h := newTestHub(t, Options{})
	line := "GET /events/all?channel=room/7"
	all, room := line[len("GET /events/"):len("GET /events/all")], line[len(line)-len("room/7"):]
	for _, asked := range [][]string{{all}, {room}, {all, room}, {"room/07"}} {
		as, err := audiences(h.rules, Request{Channels: asked})
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range keptNames(asked, as) {
			if name != asked[i] {
				t.Errorf("kept %q of %q", name, asked[i])
			}
			if within(line, name) {
				t.Errorf("%q keeps the request", name)
			}
		}
	}
}

// within reports whether part is a piece of whole in memory.
func within(whole, part string) bool {
	from := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(part)))
	return at >= from && at < from+uintptr(len(whole))
}
