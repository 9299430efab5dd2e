package replication

import (
	"fmt"
	"time"
)

// silence notices a connection that is dead although nobody closed it: a firewall
// forgot it, or the other machine lost its power. The server answers every status
// update that asks; one that does not in twice the patience it has with us is gone.
type silence struct {
	limit time.Duration // 0: never
	heard uint64
	since time.Time
}

// check is called with the number of messages received so far. A receiver that
// waits for the log hears nothing because it does not listen.
func (s *silence) check(now time.Time, heard uint64, blocked bool) error {
	if heard != s.heard || blocked || s.since.IsZero() {
		s.heard, s.since = heard, now
		return nil
	}
	if silent := now.Sub(s.since); s.limit > 0 && silent >= s.limit {
		return fmt.Errorf("replication stream: the server has not answered for %s", silent.Round(time.Second))
	}
	return nil
}
