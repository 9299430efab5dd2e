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
	if len(timers.due) != 0 || len(timers.armed) != 0 {
		t.Errorf("%d places left, %d armed", len(timers.due), len(timers.armed))
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
