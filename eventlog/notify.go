package eventlog

import "sync"

// notifier wakes everybody who waits. Without waiters a wake-up costs one lock.
type notifier struct {
	mu     sync.Mutex
	ch     chan struct{} // nil while nobody waits
	closed bool
}

// wait returns a channel that the next wake closes.
func (n *notifier) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
		if n.closed {
			close(n.ch)
		}
	}
	return n.ch
}

// wake closes the channel that wait gave out.
func (n *notifier) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release()
}

// close wakes everybody, now and for ever.
func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release()
	n.closed = true
}

func (n *notifier) release() {
	if n.ch != nil && !n.closed {
		close(n.ch)
		n.ch = nil
	}
}
