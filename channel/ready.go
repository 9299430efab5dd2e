package channel

import "sync"

// Ready wakes an owner of many subscribers: a list of those that have something to take or have
// ended, and one wake-up for all of them. A lane lists all whom a batch concerns at once. Safe for
// concurrent use.
type Ready struct {
	wake chan struct{} // capacity 1

	mu  sync.Mutex
	ids []uint64
}

// NewReady makes an empty list.
func NewReady() *Ready { return &Ready{wake: make(chan struct{}, 1)} }

// Changed has a value when something has been listed since Take.
func (r *Ready) Changed() <-chan struct{} { return r.wake }

// Add lists subscribers by the numbers that Bind gave them, and wakes the owner. It never blocks.
func (r *Ready) Add(ids ...uint64) {
	r.mu.Lock()
	r.ids = append(r.ids, ids...)
	r.mu.Unlock()
	signal(r.wake)
}

// Take returns what has been listed since the last Take, in that order; a number
// may be there more than once. The memory of spare, what the last Take returned, is used again.
func (r *Ready) Take(spare []uint64) []uint64 {
	if cap(spare) > maxSpareWakes {
		spare = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.ids
	r.ids = spare[:0]
	return ids
}

// maxSpareWakes is the number of subscribers for which lists keep memory without need.
const maxSpareWakes = 16 << 10

// wakes are the owners that a lane is about to wake, with the subscribers to list.
type wakes []wake

type wake struct {
	ready *Ready
	ids   []uint64
}

// add notes a subscriber. There are few owners: as many as processors.
func (w *wakes) add(r *Ready, id uint64) {
	for i := range *w {
		if (*w)[i].ready == r {
			(*w)[i].ids = append((*w)[i].ids, id)
			return
		}
	}
	*w = append(*w, wake{r, []uint64{id}})
}

// send wakes each owner once.
func (w *wakes) send() {
	for i := range *w {
		if o := &(*w)[i]; len(o.ids) > 0 {
			o.ready.Add(o.ids...)
			if o.ids = o.ids[:0]; cap(o.ids) > maxSpareWakes {
				o.ids = nil
			}
		}
	}
}

// signal leaves a value in a channel of capacity 1, unless there is one.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
