package auth

import (
	"testing"
	"time"
)

func TestTimers(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	timers := newTimers()
	a, b, c := &Session{}, &Session{}, &Session{}
	timers.set(a, at(10))
	timers.set(b, at(20))
	timers.set(c, at(5))
	timers.set(c, at(30)) // moved back: found when 5 comes
	timers.set(b, at(8))  // moved forward
	timers.stop(a)
	var got []*Session
	for s := range 60 {
		for {
			one, _ := timers.next(at(s))
			if one == nil {
				break
			}
			got = append(got, one)
			if want := map[*Session]int{b: 8, c: 30}[one]; want != s {
				t.Errorf("at %d, want %d", s, want)
			}
		}
	}
	if len(got) != 2 || got[0] != b || got[1] != c {
		t.Errorf("%d sessions came", len(got))
	}
	if len(timers.due) != 0 || a.place+b.place+c.place != 0 {
		t.Errorf("%d places left", len(timers.due))
	}
}

// TestTimersTouched: a session whose end moves with every request takes one place.
func TestTimersTouched(t *testing.T) {
	t.Parallel()
	timers, one := newTimers(), &Session{}
	for i := range 1000 {
		timers.set(one, time.Unix(int64(1000+i), 0))
	}
	if len(timers.due) != 1 {
		t.Errorf("%d places", len(timers.due))
	}
	if got, next := timers.next(time.Unix(1500, 0)); got != nil || !next.Equal(time.Unix(1999, 0)) {
		t.Errorf("next = %v, %v", got, next)
	}
}

// TestTimersOfManyStreams: what is over is forgotten at once, and streams that come and go
// leave nothing behind, however far away the session's own end is.
func TestTimersOfManyStreams(t *testing.T) {
	t.Parallel()
	timers, start, far := newTimers(), time.Unix(1000, 0), 14*24*time.Hour
	var lasting []*Session
	for range 100 {
		lasting = append(lasting, &Session{})
	}
	for now := start; now.Before(start.Add(time.Hour)); now = now.Add(time.Minute) {
		for _, one := range lasting {
			timers.set(one, now.Add(idleFor)) // its stream is over
		}
		for one, _ := timers.next(now.Add(idleFor)); one != nil; one, _ = timers.next(now.Add(idleFor)) {
			timers.set(one, start.Add(far)) // there is another
		}
		brief := &Session{}
		timers.set(brief, start.Add(far))
		timers.stop(brief)
	}
	if len(timers.due) != len(lasting) {
		t.Errorf("%d places for %d sessions", len(timers.due), len(lasting))
	}
	for i, d := range timers.due {
		if d.one.place != i+1 || d.at.Before(d.one.deadline.Add(-far)) {
			t.Fatalf("place %d says %d", i+1, d.one.place)
		}
	}
	for _, one := range lasting {
		timers.stop(one)
		timers.stop(one)
	}
	if len(timers.due) != 0 {
		t.Errorf("%d places left", len(timers.due))
	}
}
