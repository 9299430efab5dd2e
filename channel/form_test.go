package channel

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/coding"
)

// A form is made once, however many ask for it, and apart from the others.
func TestForms(t *testing.T) {
	r := &Run{}
	var made [Forms]atomic.Int32
	var all sync.WaitGroup
	for i := range 16 * Forms {
		all.Go(func() {
			f := Form(i % Forms)
			p := r.Code(f, func() *coding.Piece {
				made[f].Add(1)
				time.Sleep(5 * time.Millisecond) // long enough for the others to ask
				return &coding.Piece{Size: int(f)}
			})
			if p.Size != int(f) || r.Coded(f) != p {
				t.Errorf("form %d: %+v, then %+v", f, p, r.Coded(f))
			}
		})
	}
	all.Wait()
	for f := range made {
		if n := made[f].Load(); n != 1 {
			t.Errorf("form %d was made %d times", f, n)
		}
	}
}

// A run that nobody asks for another form has none, nor what is left of one behind a position.
func TestFormsAreNotPartsOf(t *testing.T) {
	b := &runBuffer{}
	for i := range uint64(2) {
		b.add(EventInsert, []byte("{}"), change.Position{Commit: 1, Index: i}, "aaaaaa")
	}
	r := b.seal()
	if r.Coded(0) != nil {
		t.Error("a new run has a form")
	}
	r.Code(0, func() *coding.Piece { return coding.Gzip.Piece(r.Bytes) })
	if rest := r.after(r.first()); rest.Coded(0) != nil || len(rest.Frames) != 1 {
		t.Errorf("the rest of a run has %d frames, and a form: %v", len(rest.Frames), rest.Coded(0) != nil)
	}
}

// One channel that must not be compressed keeps the others of its streams from it, and a reload that says so
// ends those that may be; one that allows it ends nothing.
func TestCompresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := func(one, other bool) []*Rule {
			return []*Rule{ruled(t, testRelation(), Rule{Name: "one", Compress: one}, "", "public"), ruled(t, testRelation(), Rule{Name: "other", Compress: other}, "", "public")}
		}
		h := newTestHub(t, Options{Rules: rules(true, false)})
		defer h.run()()
		one, other, both := h.subscribe("", "one"), h.subscribe("", "other"), h.subscribe("", "one", "other")
		for _, s := range []*Subscriber{one, other, both} {
			drain(s)
		}
		if !one.Compresses() || other.Compresses() || both.Compresses() {
			t.Errorf("one %v, other %v, both %v", one.Compresses(), other.Compresses(), both.Compresses())
		}
		h.SetRules(rules(true, true))
		synctest.Wait()
		h.tx(insert(1, 7, "a"))
		for name, s := range map[string]*Subscriber{"one": one, "other": other, "both": both} {
			if got := drain(s); len(got) == 0 || !s.Compresses() {
				t.Errorf("%s: got %q, compresses %v", name, got, s.Compresses())
			}
			if reason, ended := s.Ended(); ended {
				t.Errorf("%s ended: %s", name, reason)
			}
		}
		id := one.LastID()
		h.SetRules(rules(false, true))
		synctest.Wait()
		for name, s := range map[string]*Subscriber{"one": one, "both": both} {
			if reason, _ := s.Ended(); reason != endRules {
				t.Errorf("%s ended: %q", name, reason)
			}
		}
		if reason, ended := other.Ended(); ended {
			t.Errorf("other ended: %s", reason)
		}
		again := h.subscribe(id, "one")
		if got := drain(again); len(got) == 0 || again.Compresses() {
			t.Errorf("came back to %q, compresses %v", got, again.Compresses())
		}
	})
}
