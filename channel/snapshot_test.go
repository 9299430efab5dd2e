package channel

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// fakeSnapshots gives the same snapshot again and again.
type fakeSnapshots struct {
	mu      sync.Mutex
	visible Visibility
	rows    [][]string
	begun   int
	open    int
	err     error
	// during is called when a snapshot has been taken and before its rows are read.
	during func()
}

func (f *fakeSnapshots) Begin(context.Context) (Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun++
	if f.err != nil {
		return nil, f.err
	}
	f.open++
	return &fakeSnapshot{f, f.visible}, nil
}

type fakeSnapshot struct {
	*fakeSnapshots
	taken Visibility
}

func (s *fakeSnapshot) Visible() Visibility { return s.taken }
func (s *fakeSnapshot) Close()              { s.mu.Lock(); s.open--; s.mu.Unlock() }

func (s *fakeSnapshot) Read(_ context.Context, _ SnapshotQuery, row func([]change.Value) error) error {
	if s.during != nil {
		s.during()
	}
	for _, r := range s.rows {
		var values []change.Value
		for _, text := range r {
			values = append(values, change.Value{Kind: change.Text, Text: []byte(text)})
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return nil
}

// snapshotHub has a channel with snapshots for each user, and one without.
func snapshotHub(t *testing.T, f *fakeSnapshots, maxRows int) *testHub {
	claims := claimsOf(t, "id bigint")
	return newTestHub(t, Options{Snapshots: f, Rules: []*Rule{
		ruled(t, testRelation(), Rule{Name: "mine", Snapshot: maxRows}, "", "row.room == user.id", claims...),
		ruled(t, testRelation(), Rule{Name: "all"}, "", "public"),
	}})
}

// ids are events with their ids and without their data.
func ids(events []string) (out []string) {
	for _, e := range events {
		head, data, _ := strings.Cut(e, "{")
		if strings.HasPrefix(head, "snapshot") || strings.HasPrefix(head, "reset") || strings.HasPrefix(head, "ready") {
			head += "{" + data
		}
		out = append(out, strings.TrimSpace(head))
	}
	return out
}

// TestSnapshotThenLive: rows first, then every change that the snapshot does not have, each once:
// also of a transaction that was logged before the snapshot and is not visible in it.
func TestSnapshotThenLive(t *testing.T) {
	for name, stuck := range map[string]Visibility{
		"in progress":                  {Snapshot: change.Snapshot{Xmin: 0x110, Xmax: 0x121, InProgress: []uint64{0x110}}, Until: 0x140},
		"not given out yet for others": {Snapshot: change.Snapshot{Xmin: 0x110, Xmax: 0x110}, Until: 0x140},
	} {
		t.Run(name, func(t *testing.T) { snapshotThenLive(t, stuck) })
	}
}

func snapshotThenLive(t *testing.T, stuck Visibility) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{rows: [][]string{{"1", "7", "seen"}, {"2", "8", "of somebody else"}}}
		h := snapshotHub(t, f, 10)
		defer h.run()()
		h.tx(insert(1, 7, "seen"))  // 0x100
		h.tx(insert(3, 7, "stuck")) // 0x110: logged, but still in progress for others
		if len(stuck.InProgress) > 0 {
			h.tx(insert(2, 8, "of somebody else"))
		} else {
			h.commit += 0x10
		}
		synctest.Wait()
		f.visible = stuck
		f.during = func() { h.tx(insert(4, 7, "meanwhile")) } // 0x130
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		s := h.subscribeAs(user, "", "mine")
		ready := map[bool]string{true: "0/130", false: "0/120"}[len(stuck.InProgress) > 0]
		want(t, ids(drain(s)),
			`ready  {"resumed":false,"channels":["mine"],"position":"`+ready+`"}`,
			`snapshot  {"channel":"mine","rows":[{"id":1,"room":7,"body":"seen"}],"first":true,"last":true}`,
			`insert`, `insert`, `heartbeat 0/13F.0`)
		h.tx(insert(5, 7, "later")) // 0x140
		want(t, short(drain(s)), `insert {"id":5} {"id":5,"room":7,"body":"later"}`)
		if f.open != 0 {
			t.Errorf("%d snapshots are open", f.open)
		}
		again := h.subscribeAs(user, "0/13F.0."+s.view.tag, "mine")
		want(t, short(drain(again)[1:]), `insert {"id":5} {"id":5,"room":7,"body":"later"}`)
	})
}

// TestSnapshotPages: at most so many rows a frame, and only the last one has an id.
func TestSnapshotPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}}
		for range pageRows + 1 {
			f.rows = append(f.rows, []string{"1", "7", "x"})
		}
		h := snapshotHub(t, f, 10*pageRows)
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		s := h.subscribeAs(user, "", "mine")
		got := drain(s)
		if len(got) != 3 {
			t.Fatalf("%d events", len(got))
		}
		for i, end := range []string{`"first":true,"last":false}`, `"first":false,"last":true}`} {
			if e := got[i+1]; !strings.HasSuffix(e, end) || strings.HasPrefix(e, "snapshot 0/FF.0") != (i == 1) {
				t.Errorf("%d: %.40s … %s", i, e, e[len(e)-40:])
			}
		}
		if s.LastID() != "0/FF.0."+s.view.tag {
			t.Errorf("complete up to %s", s.LastID())
		}
		if h.snapshotBytes.Load() != 0 {
			t.Errorf("%d bytes are still held", h.snapshotBytes.Load())
		}
	})
}

// TestSnapshotTooLarge: then the client must fetch the rows itself, and goes on live.
func TestSnapshotTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}, {"2", "8", "x"}, {"3", "7", "x"}}}
		h := snapshotHub(t, f, 1)
		defer h.run()()
		s := h.subscribeAs(userOf(t, claimsOf(t, "id bigint"), `{"id":7}`), "", "mine")
		want(t, drain(s)[1:], `reset 0/FF.0 {"channel":"mine","reason":"snapshot-required"}`)
		h.tx(insert(1, 7, "a"))
		want(t, short(drain(s)), `insert {"id":1} {"id":1,"room":7,"body":"a"}`)
	})
}

// TestSnapshotFails: the stream ends and nothing was an id, so that the client begins again.
func TestSnapshotFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		altered := 0
		f := &fakeSnapshots{err: ErrTableChanged}
		claims := claimsOf(t, "id bigint")
		h := newTestHub(t, Options{Snapshots: f, Altered: func() { altered++ }, Rules: []*Rule{
			ruled(t, testRelation(), Rule{Name: "mine", Snapshot: 1}, "", "row.room == user.id", claims...)}})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"id":7}`), "", "mine")
		want(t, ids(drain(s)), `ready  {"resumed":false,"channels":["mine"],"position":"0/100"}`)
		if reason, _ := s.Ended(); reason != endSnapshot || altered != 1 || s.LastID() != "" {
			t.Errorf("ended %q, altered %d, id %q", reason, altered, s.LastID())
		}
	})
}

// TestSnapshotsShared: clients of one audience who come together share one query.
func TestSnapshotsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		f.during = func() { time.Sleep(time.Second) }
		h := snapshotHub(t, f, 10)
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		var subs []*Subscriber
		for range 1000 {
			subs = append(subs, h.subscribeAs(user, "", "mine"))
			synctest.Wait() // the first snapshot is being read
		}
		time.Sleep(10 * time.Second)
		for i, s := range subs {
			if got := drain(s); len(got) != 2 || !strings.HasPrefix(got[1], "snapshot 0/FF.0") {
				t.Fatalf("%d got %q", i, got)
			}
		}
		if f.begun != 2 { // the first, and the others together
			t.Errorf("%d snapshots were taken", f.begun)
		}
	})
}

// TestSnapshotAfterReset: wherever a channel with snapshots is reset, one follows, and
// channels beside it miss nothing meanwhile.
func TestSnapshotAfterReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 0x120, Xmax: 0x120}, Until: 0x120}, rows: [][]string{{"1", "7", "x"}}}
		h := snapshotHub(t, f, 10)
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		h.tx(insert(1, 7, "x")) // 0x100
		h.tx(insert(2, 8, "y")) // 0x110
		synctest.Wait()
		s := h.subscribeAs(user, "0/110.0.zzzzzz", "mine", "all")
		want(t, ids(drain(s)),
			`ready 0/110.0 {"resumed":false,"channels":["all","mine"],"position":"0/120"}`,
			`reset  {"channel":"all","reason":"view"}`, `reset  {"channel":"mine","reason":"view"}`,
			`snapshot 0/11F.0 {"channel":"mine","rows":[{"id":1,"room":7,"body":"x"}],"first":true,"last":true}`)

		full := h.rel // the rule cannot judge rows of another version
		h.rel = &change.Relation{ID: 2, OID: 7, Schema: "public", Name: "t", Identity: 'd', Key: []int{0}, Columns: []change.Column{
			{Name: "id", Identity: true, Type: bigint()}, {Name: "room", Type: bigint()}, {Name: "body", Type: full.Columns[2].Type}}}
		f.visible = Visibility{Snapshot: change.Snapshot{Xmin: 0x121, Xmax: 0x121}, Until: 0x130}
		f.during = func() { h.rel = full; h.tx(insert(6, 9, "z")) } // 0x130, not in the snapshot
		h.tx(func(b *change.Builder, r *change.Relation) {
			b.Row(change.Update, r, append([]byte{'N'}, tup("1", "8", "a")...), false)
		})
		want(t, ids(drain(s)), `reset  {"channel":"mine","reason":"gap"}`,
			`snapshot  {"channel":"mine","rows":[{"id":1,"room":7,"body":"x"}],"first":true,"last":true}`,
			`update`, `heartbeat 0/12F.0`, `insert 0/130.0`)
	})
}

// TestTruncateKnowsItsSnapshot: of a table that has just been emptied nothing need be read.
func TestTruncateKnowsItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}}
		h := snapshotHub(t, f, 10)
		defer h.run()()
		s := h.subscribeAs(userOf(t, claimsOf(t, "id bigint"), `{"id":7}`), "", "mine")
		drain(s)
		h.tx(func(b *change.Builder, r *change.Relation) { b.Truncate([]*change.Relation{r}, false, false) })
		want(t, drain(s), `reset  {"channel":"mine","reason":"truncate"}`, `snapshot 0/100.0 {"channel":"mine","rows":[],"first":true,"last":true}`)
		if f.begun != 1 {
			t.Errorf("%d snapshots were taken", f.begun)
		}
	})
}

// TestSetRules: streams whose rules judge as before feel nothing, the others are told in band.
func TestSetRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		make := func(where string) []*Rule {
			return []*Rule{
				ruled(t, testRelation(), Rule{Name: "mine"}, where, "row.room == user.id", claims...),
				ruled(t, testRelation(), Rule{Name: "all"}, "", "public"),
			}
		}
		h := newTestHub(t, Options{Rules: make("")})
		defer h.run()()
		user := userOf(t, claims, `{"id":7}`)
		mine, all, both := h.subscribeAs(user, "", "mine"), h.subscribe("", "all"), h.subscribeAs(user, "", "mine", "all")
		for _, s := range []*Subscriber{mine, all, both} {
			drain(s)
		}
		h.SetRules(make(""))
		h.SetRules(make(`row.body != "draft"`))
		want(t, drain(mine), `reset 0/FF.0 {"channel":"mine","reason":"view"}`)
		want(t, drain(both), `reset 0/FF.0 {"channel":"mine","reason":"view"}`)
		if got := drain(all); len(got) > 0 {
			t.Errorf("a stream whose rule is the same got %q", got)
		}
		h.tx(insert(1, 7, "draft"))
		if got := drain(mine); len(got) > 0 {
			t.Errorf("under the new rule: %q", got)
		}
		if got := drain(both); len(got) != 1 || len(drain(all)) != 1 {
			t.Errorf("the other channel: %q", got)
		}
		resumed := h.subscribeAs(user, mine.LastID(), "mine")
		want(t, ids(drain(resumed)), `ready 0/10F.0 {"resumed":true,"channels":["mine"],"position":"0/110"}`)

		h.SetRules(make("")[1:])
		synctest.Wait()
		if reason, _ := mine.Ended(); reason != "channel_removed" {
			t.Errorf("ended %q", reason)
		}
		if n := len(h.live.index.rules); n != 1 {
			t.Errorf("the index keeps %d rules", n)
		}
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"mine"}, User: user}); !errors.As(err, new(*UnknownChannelError)) {
			t.Errorf("the channel that is gone: %v", err)
		}
	})
}
