package channel

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// TestUnjudgedBesideAnother: a change that cannot be judged is behind a client once it has
// its snapshot, also where its stream has a channel without one.
func TestUnjudgedBesideAnother(t *testing.T) {
	for _, what := range []string{"suspended", "late"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { unjudgedBesideAnother(t, what) })
		})
	}
}

func unjudgedBesideAnother(t *testing.T, what string) {
	f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}}
	h := snapshotHub(t, f, 10)
	defer h.run()()
	user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
	s := h.subscribeAs(user, "", "mine", "all")
	drain(s)
	f.rows = [][]string{{"1", "7", "x"}}
	f.visible = Visibility{Snapshot: change.Snapshot{Xmin: 0x131, Xmax: 0x131}, Until: 0x140}
	h.tx(insert(1, 7, "x")) // 0x100
	full := h.rel
	if what == "suspended" {
		h.rel = &change.Relation{ID: 2, OID: 7, Schema: "public", Name: "t", Identity: 'd', Key: []int{0}, Columns: []change.Column{
			{Name: "id", Identity: true, Type: bigint()}, {Name: "room", Type: bigint()}, {Name: "body", Type: full.Columns[2].Type}}}
	} else {
		h.log.setSince(0x110)
	}
	h.tx(func(b *change.Builder, r *change.Relation) { // 0x110
		b.Row(change.Update, r, append([]byte{'N'}, tup("1", "8", "a")...), false)
	})
	h.rel = full
	h.tx(insert(2, 9, "y")) // 0x120
	h.tx(insert(3, 9, "z")) // 0x130
	var got []string
	for range 3 {
		got = append(got, drain(s)...)
		if _, ended := s.Ended(); !ended {
			break
		}
		id := ""
		for _, e := range got {
			if f := strings.Fields(e); len(f) > 1 && strings.HasPrefix(f[1], "0/") {
				id = f[1]
			}
		}
		s.Close()
		s = h.subscribeAs(user, id+"."+s.view.tag, "mine", "all")
	}
	if reason, ended := s.Ended(); ended {
		t.Errorf("ended for the third time: %s\n%s", reason, strings.Join(got, "\n"))
	}
	all := 0
	for _, e := range got {
		if strings.Contains(e, `"channel":"all","op"`) {
			all++
		}
	}
	if all != 4 {
		t.Errorf("%d changes of the other channel\n%s", all, strings.Join(got, "\n"))
	}
}

// TestAheadIsAlone: an id from beyond the log, which anybody can make, moves nobody but its client.
func TestAheadIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}}
		h := newTestHub(t, Options{Snapshots: f, Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "all", Snapshot: 10}, "row.room != 0", "public")}})
		defer h.run()()
		good := h.subscribe("", "all")
		drain(good)
		bad := h.subscribe("FFFFFFF/0.0."+good.view.tag, "all")
		drain(bad)
		f.visible = Visibility{Snapshot: change.Snapshot{Xmin: 0x101, Xmax: 0x101}, Until: 0x110}
		h.tx(func(b *change.Builder, r *change.Relation) { // no row that can be judged
			b.Row(change.Insert, r, []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}, true)
		})
		drain(good)
		h.tx(insert(2, 7, "later"))
		h.tx(insert(3, 7, "later"))
		if got := drain(good); len(got) != 2 {
			t.Errorf("got %q, complete up to %s", got, good.LastID())
		}
	})
}

// TestAheadWhileHeld: the end of the wait of a client that was ahead does not give it a second snapshot.
func TestAheadWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 0x101, Xmax: 0x101}, Until: 0x110}}
		h := newTestHub(t, Options{Snapshots: f, Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "all", Snapshot: 10}, "row.room != 0", "public")}})
		defer h.run()()
		h.commit = 0x100
		tag := h.subscribe("0/100", "all").view.tag
		bad := h.subscribe("FFFFFFF/0.0."+tag, "all")
		drain(bad)
		time.Sleep(h.aheadWait - time.Second)
		f.during = func() { time.Sleep(10 * time.Second) }
		h.tx(func(b *change.Builder, r *change.Relation) {
			b.Row(change.Insert, r, []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}, true)
		})
		time.Sleep(time.Minute)
		got := drain(bad)
		if n := strings.Count(strings.Join(got, "\n"), "snapshot"); n != 1 {
			t.Errorf("%d snapshots: %q", n, got)
		}
	})
}

// TestSnapshotBytesOfTwo: a client that is cut off again before it has read its snapshot gives
// back the bytes of both.
func TestSnapshotBytesOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		h := newTestHub(t, Options{Snapshots: f, Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "all", Snapshot: 10}, "row.room != 0", "public")}})
		defer h.run()()
		s := h.subscribe("", "all")
		synctest.Wait()
		s.Take() // and its owner writes
		f.visible = Visibility{Snapshot: change.Snapshot{Xmin: 0x101, Xmax: 0x101}, Until: 0x110}
		h.tx(func(b *change.Builder, r *change.Relation) {
			b.Row(change.Insert, r, []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}, true)
		})
		drain(s)
		drain(s)
		s.Close()
		if n := h.snapshotBytes.Load(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
	})
}

// farLog has only the last position in memory.
type farLog struct {
	*memLog
	near change.Position
}

func (l *farLog) InMemory() change.Position { return l.near }

// TestCutFarBack: who meets a reset far back in the log begins again on all channels, and
// nothing from there on is read once more.
func TestCutFarBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 0x131, Xmax: 0x131}, Until: 0x140}, rows: [][]string{{"1", "7", "x"}}}
		h := snapshotHub(t, f, 10)
		h.Hub.events = &farLog{h.log, change.Position{Commit: 0x130}}
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		h.tx(insert(1, 7, "x"))                            // 0x100
		h.tx(func(b *change.Builder, r *change.Relation) { // 0x110: no row that can be judged
			b.Row(change.Insert, r, []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}, true)
		})
		h.tx(insert(3, 8, "y")) // 0x120
		h.tx(insert(4, 8, "y")) // 0x130
		synctest.Wait()
		first := h.subscribeAs(user, "", "mine", "all")
		tag := first.view.tag
		first.Close()
		s := h.subscribeAs(user, "0/100.0."+tag, "mine", "all")
		synctest.Wait()
		h.tx(insert(5, 8, "y")) // 0x140
		want(t, ids(drain(s)), `ready 0/100.0 {"resumed":true,"channels":["all","mine"],"position":"0/100"}`,
			`reset  {"channel":"all","reason":"gap"}`, `reset  {"channel":"mine","reason":"gap"}`,
			`snapshot 0/13F.0 {"channel":"mine","rows":[{"id":1,"room":7,"body":"x"}],"first":true,"last":true}`,
			`insert 0/140.0`)
	})
}

// TestKeyLeftIdentity: without the key in old tuples nobody could be told which row was deleted, or
// that a row has another key now.
func TestKeyLeftIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		drain(s)
		text := h.rel.Columns[2].Type
		h.rel = &change.Relation{ID: 2, OID: 7, Schema: "public", Name: "t", Identity: 'i', Key: []int{0}, Columns: []change.Column{
			{Name: "id", Type: bigint()}, {Name: "room", Identity: true, Type: bigint()}, {Name: "body", Identity: true, Type: text}}}
		h.tx(func(b *change.Builder, r *change.Relation) {
			row := []byte{'K', 0, 3, 'n', 't', 0, 0, 0, 1, '7', 't', 0, 0, 0, 1, 'a'}
			b.Row(change.Delete, r, row, false)
		})
		want(t, drain(s), `reset 0/100.0 {"channel":"all","reason":"gap"}`)
	})
}
