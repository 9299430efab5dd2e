package auth

import "github.com/walrelay/walrelay/change"

// Missed says that changes of the tables may have passed unseen, because the slot was lost or
// a table was not published for a while, or that another server has taken over, which gives out
// transaction ids that the one before had given out too: everything that is known is looked up again, and
// streams pause until then. What is looked up from now on is followed without a gap. It blocks
// on nothing but memory.
func (s *Sessions) Missed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
	s.recent.reorder()
	for one := range s.index.all {
		if one.src == nil || !one.src.hears() || one.over != "" {
			continue
		}
		one.found.snapshot = change.Snapshot{} // it says nothing of ids that come now
		one.pause(true)
		s.enqueue(one)
	}
}

// gap is Sessions.gaps and rings now.
func (s *Sessions) gap() (gaps, rings uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gaps, s.rings
}
