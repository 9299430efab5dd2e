package channel

import (
	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/slimmap"
)

// indexedRule is a rule with the audiences that have riders, found by hash keys: a row
// costs a probe per disjunct, however many audiences there are. It belongs to the lane's
// goroutine.
type indexedRule struct {
	rule      *Rule
	audiences map[string]*indexedAudience // by audience.id
	// postings of each disjunct, by key.
	postings []map[string][]posting
	exact    []bool // by disjunct, see filter.Program.Exact
	// peak and peaks are those of audiences and postings, for slimmap.
	peak  int
	peaks []int
	// images are the old and the new row of the change that is being matched, found the
	// audiences that each belongs to, matched the number of the change.
	images  [2]*filter.Image
	found   [2][]*indexedAudience
	matched uint32
	// loaded: the rule is in matcher.loaded.
	loaded bool
	// suspended counts the changes of the batch that the rule could not judge.
	suspended int
}

// The images of a change: what the row was, and what it is now.
const (
	oldImage = iota
	newImage
)

// posting is an audience under one of its keys. slot is the place in audience.places that
// says where the posting stands.
type posting struct {
	audience *indexedAudience
	slot     int32
}

// indexedAudience is one of perhaps very many: what can be made again, such as its keys, is not
// kept.
type indexedAudience struct {
	*audience
	// places say where each posting stands under its key, in the order in which postings come:
	// by disjunct, then as filter.Binding.Postings gives them.
	places []int32
	views  []viewSeat
	// met is indexedRule.matched of the last change whose old or new image belonged here.
	met [2]uint32
	// gate holds back what the audience knows already; nil: nothing.
	gate     *gate
	nameSlot int32 // place in index.named
	// aPlace and aView are the memory of places and views while they have one element.
	aPlace [1]int32
	aView  [1]viewSeat
}

// viewSeat is a view and which of its seats is here.
type viewSeat struct {
	*riddenView
	seat int
}

func newIndexedRule(r *Rule) *indexedRule {
	ir := &indexedRule{rule: r, audiences: map[string]*indexedAudience{}}
	ir.images = [2]*filter.Image{r.Program.NewImage(), r.Program.NewImage()}
	ir.postings = make([]map[string][]posting, r.Program.Disjuncts())
	for d := range ir.postings {
		ir.postings[d] = map[string][]posting{}
		ir.peaks = append(ir.peaks, 0)
		ir.exact = append(ir.exact, r.Program.Exact(d))
	}
	return ir
}

func (r *indexedRule) add(a *indexedAudience) {
	r.audiences[a.id] = a
	a.places = a.aPlace[:0]
	for d, of := range r.postings {
		for _, key := range a.binding.Postings(d) {
			list := of[key]
			a.places = append(a.places, int32(len(list)))
			of[key] = append(list, posting{a, int32(len(a.places) - 1)})
		}
	}
}

func (r *indexedRule) remove(a *indexedAudience) {
	slimmap.Delete(&r.audiences, &r.peak, a.id)
	slot := 0
	for d := range r.postings {
		for _, key := range a.binding.Postings(d) {
			of := r.postings[d]
			at := a.places[slot]
			slot++
			list := of[key]
			last := len(list) - 1
			moved := list[last]
			list[at], list[last] = moved, posting{}
			moved.audience.places[moved.slot] = at
			if last == 0 {
				slimmap.Delete(&r.postings[d], &r.peaks[d], key)
			} else {
				of[key] = shortened(list[:last])
			}
		}
	}
}

// rise takes the view at a slot off the audience.
func (a *indexedAudience) rise(slot int) {
	last := len(a.views) - 1
	moved := a.views[last]
	a.views[slot] = moved
	moved.seats[moved.seat].slot = slot
	a.views[last] = viewSeat{}
	a.views = shortened(a.views[:last])
}

// next begins with another change.
func (r *indexedRule) next() {
	if r.matched++; r.matched > 0 {
		return
	}
	for _, a := range r.audiences { // the numbers begin anew: none of before counts
		a.met = [2]uint32{}
	}
	r.matched = 1
}

// find matches the images that there are, the old one only if the rule can tell it from
// the new one. It reports whether a value could not be read.
func (r *indexedRule) find(l *filter.Layout, before, after []change.Value) (undecoded bool) {
	r.next()
	r.found[oldImage], r.found[newImage] = r.found[oldImage][:0], r.found[newImage][:0]
	if len(after) > 0 {
		undecoded = r.match(newImage, l, after)
	}
	switch {
	case len(before) == 0:
	case len(after) > 0 && !l.Differ(before, after):
		for _, a := range r.found[newImage] {
			a.met[oldImage] = r.matched
		}
		r.found[oldImage] = append(r.found[oldImage], r.found[newImage]...)
	default:
		undecoded = r.match(oldImage, l, before) || undecoded
	}
	return undecoded
}

// match collects the audiences that a row belongs to. It reports whether a value could not be read.
func (r *indexedRule) match(side int, l *filter.Layout, row []change.Value) (undecoded bool) {
	im := r.images[side]
	im.Load(l, row)
	if im.Once() != filter.True {
		return im.Undecoded()
	}
	for d, of := range r.postings {
		if len(of) == 0 {
			continue
		}
		for k := range im.Probe(d) {
			r.meet(side, d, of[string(im.Key(k))])
		}
	}
	return im.Undecoded()
}

// meet tries the audiences that share a key of the row.
func (r *indexedRule) meet(side, disjunct int, under []posting) {
	im := r.images[side]
	for _, p := range under {
		a := p.audience
		if a.met[side] != r.matched && (r.exact[disjunct] || a.binding.Residual(disjunct, im) == filter.True) {
			a.met[side] = r.matched
			r.found[side] = append(r.found[side], a)
		}
	}
}
