package channel

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

func roleRules(t *testing.T, allow string, claims []filter.Claim) []*Rule {
	return []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, "", allow, claims...)}
}

// TestRefusedByReloadGetsNothing: whoever the new rules do not let in gets nothing that was
// committed under them, however busy the channel is.
func TestRefusedByReloadGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "role text")
		h := newTestHub(t, Options{Rules: roleRules(t, `user.role in ["admin", "guest"]`, claims)})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"role":"guest"}`), "", "mine")
		drain(s)
		h.tx(insert(1, 7, "before")) // the owner is still writing
		synctest.Wait()
		h.SetRules(roleRules(t, `user.role == "admin"`, claims))
		synctest.Wait()
		h.tx(insert(2, 7, "secret"))
		if got := strings.Join(drain(s), "\n"); strings.Contains(got, "secret") {
			t.Errorf("got %s", got)
		}
		if reason, _ := s.Ended(); reason != "not_allowed" {
			t.Errorf("ended %q", reason)
		}
	})
}

// TestReloadWhileHeld: a snapshot that was read under rules that are gone is not handed out.
func TestReloadWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		rules := func(where string) []*Rule {
			return []*Rule{ruled(t, testRelation(), Rule{Name: "mine", Snapshot: 10}, where, "row.room == user.id", claims...)}
		}
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "secret"}}}
		f.during = func() { time.Sleep(time.Second) }
		h := newTestHub(t, Options{Snapshots: f, Rules: rules("")})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"id":7}`), "", "mine")
		synctest.Wait()
		h.SetRules(rules(`row.body != "secret"`))
		time.Sleep(10 * time.Second) // the owner is busy writing
		if got := strings.Join(drain(s), "\n"); strings.Contains(got, "secret") {
			t.Errorf("got %s", got)
		}
	})
}

// TestReloadWhileBehind: nor does one who resumes go on under them.
func TestReloadWhileBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		rules := func(where string) []*Rule {
			return []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, where, "row.room == user.id", claims...)}
		}
		h := newTestHub(t, Options{Rules: rules("")})
		defer h.run()()
		h.tx(insert(1, 7, "a"))
		synctest.Wait()
		s, err := h.admit(Request{Channels: []string{"mine"}, User: userOf(t, claims, `{"id":7}`)})
		if err != nil {
			t.Fatal(err)
		}
		h.SetRules(rules(`row.body != "secret"`))
		synctest.Wait()
		h.resume(s, EventID{At: change.Before(0x100)}) // as Subscribe does, a moment later
		synctest.Wait()
		h.tx(insert(2, 7, "secret"))
		synctest.Wait()
		h.tx(insert(3, 7, "secret"))
		if got := strings.Join(drain(s), "\n"); strings.Contains(got, "secret") {
			t.Errorf("got %s", got)
		}
	})
}

// TestReloadRelation: a rule that is the same but for its table's new version takes the place of
// the old one, also for those who come while others stay.
func TestReloadRelation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		rules := func(id uint64, rows int) []*Rule {
			rel := testRelation()
			rel.ID = id
			return []*Rule{ruled(t, rel, Rule{Name: "mine", Snapshot: rows}, "", "row.room == user.id", claims...)}
		}
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		h := newTestHub(t, Options{Snapshots: f, Rules: rules(1, 10)})
		defer h.run()()
		user := userOf(t, claims, `{"id":7}`)
		first := h.subscribeAs(user, "", "mine")
		drain(first)
		h.SetRules(rules(2, 10))
		synctest.Wait()
		second := h.subscribeAs(user, "", "mine")
		drain(second)
		for i, s := range []*Subscriber{first, second} {
			if r := s.view.audiences[0].rule; r.Relation.ID != 2 {
				t.Errorf("stream %d has version %d of the table", i, r.Relation.ID)
			}
		}
		want(t, drain(first), "heartbeat 0/FF.0")
		h.SetRules(rules(2, 0))
		synctest.Wait()
		third := h.subscribeAs(user, "", "mine")
		if got := drain(third); len(got) != 1 {
			t.Errorf("without snapshots: %q", got)
		}
	})
}

// TestEndedIsNotComplete: what a stream that has ended is not given does not count as known.
func TestEndedIsNotComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		drain(s)
		h.tx(insert(1, 7, "a"))
		drain(s)
		s.finish(endRules)
		h.tx(insert(2, 7, "b"))
		if got := drain(s); len(got) > 0 || lastID(s) != "0/100.0."+s.view.tag && lastID(s) != "0/10F.0."+s.view.tag {
			t.Errorf("got %q, complete up to %s", got, lastID(s))
		}
	})
}

// TestRestartOfEndedGeneration: who is to be restarted in a generation of the log that has ended meanwhile
// gets no reset, whose id would have the old tag, but comes back.
func TestRestartOfEndedGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		drain(s)
		h.live.post(func() {
			h.live.index.leave(s)
			s.alight(h.live.at)
			h.live.generation++
			h.restart(s, ReasonGap)
		})
		got := drain(s)
		if reason, ended := s.Ended(); len(got) > 0 || !ended || reason != string(ReasonGap) {
			t.Errorf("got %q, ended %v %q", got, ended, reason)
		}
	})
}

// TestNewTagNeedsItsReset: a subscriber whose view is another one has no id until the reset is
// queued: with the new tag and without the reset it would be resumed as if nothing had changed.
func TestNewTagNeedsItsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s, other := h.subscribe("", "all"), h.subscribe("", "room/7")
		drain(s)
		h.live.post(func() {
			h.live.index.leave(s)
			s.alight(h.live.at)
			was := s.view
			h.mu.Lock()
			err := h.moveLocked(s, other.view)
			h.mu.Unlock()
			if err != nil || s.LastID() != "" {
				t.Errorf("%v, complete up to %s", err, s.LastID())
			}
			h.welcome(s, was)
		})
		synctest.Wait()
		want(t, drain(s), `reset 0/FF.0 {"channel":"room/7","reason":"view"}`)
		if lastID(s) != "0/FF.0."+other.view.tag {
			t.Errorf("complete up to %s", s.LastID())
		}
	})
}

// TestMessageBetweenRules: riders from before and after a reload, which are on one lane for a moment, get
// a message with the parameters as their own rule calls them.
func TestMessageBetweenRules(t *testing.T) {
	h := New(Options{Log: newMemLog()})
	l := newLane(h, change.Position{})
	var subs []*Subscriber
	for i, param := range []string{"room", "room", "id"} {
		r := ruled(t, testRelation(), Rule{Name: "room/{" + param + "}"}, "row.room == params."+param, "public")
		r.prepare()
		r.serial = uint64(i)
		a, err := newAudience(r, "room/7", nil, map[string]string{param: "7"})
		if err != nil {
			t.Fatal(err)
		}
		lin := h.events.Bounds().Lineage
		s := &Subscriber{hub: h, wake: make(chan struct{}, 1), view: newView(viewKey([]*audience{a}, lin.Generation), []*audience{a}, lin)}
		l.join(s)
		subs = append(subs, s)
	}
	m := &change.Change{Op: change.Message, Position: change.Position{Commit: 0x108}, Prefix: []byte("walrelay:room/7"), Content: []byte("1")}
	if err := l.match.match(m); err != nil {
		t.Fatal(err)
	}
	l.flush()
	for i, param := range []string{"room", "room", "id"} {
		runs := subs[i].Take()
		if len(runs) != 1 || !strings.HasPrefix(string(runs[0].Event(0).Data), `{"channel":"room/7","op":"message","data":1,"params":{"`+param+`":7},"tx":`) {
			t.Errorf("%s: got %v", param, runs)
		}
	}
}

// TestReloadLabels: a label that an enum has got can be asked for.
func TestReloadLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := func(labels ...string) []*Rule {
			rel := testRelation()
			rel.Columns[2].Type = &change.Type{OID: 99, Name: "public.mood", Labels: labels}
			return []*Rule{ruled(t, rel, Rule{Name: "by/{mood}"}, "row.body == params.mood", "public")}
		}
		h := newTestHub(t, Options{Rules: rules("sad")})
		defer h.run()()
		sad := h.subscribe("", "by/sad")
		drain(sad)
		h.SetRules(rules("sad", "glad"))
		if _, err := h.Subscribe(t.Context(), Request{Channels: []string{"by/glad"}}); err != nil {
			t.Error(err)
		}
		want(t, drain(sad), "heartbeat 0/FF.0")
	})
}
