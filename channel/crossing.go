package channel

import (
	"math"
	"slices"

	"github.com/walrelay/walrelay/change"
)

// crossing is a place that the lane has before it, from which on a table is complete
// in the log: it was added to a publication that was in use. Riders who pass it were
// not given what was committed to the table before.
type crossing struct {
	at    change.Position
	rules []*indexedRule
}

// noteLate looks which tables have become complete further on only.
func (l *lane) noteLate(late uint64) {
	l.late, l.known, l.crossings = late, l.index.grown, l.crossings[:0]
	for _, rules := range l.index.tables {
		r := rules[0].rule
		since := l.hub.events.Since(r.Schema + "." + r.Table)
		if at := change.Before(since); since > 0 && since < math.MaxUint64 && l.at.Less(at) {
			l.crossings = append(l.crossings, crossing{at, rules})
		}
	}
	slices.SortFunc(l.crossings, func(a, b crossing) int { return a.at.Compare(b.at) })
}

// cross resets the channels of the tables whose crossings are not behind to.
func (l *lane) cross(to change.Position) {
	for len(l.crossings) > 0 && !to.Less(l.crossings[0].at) {
		c := l.crossings[0]
		l.crossings = l.crossings[1:]
		for _, r := range c.rules {
			for _, a := range r.audiences {
				if a.gate.passed(c.at) {
					continue
				}
				l.match.reset(a, ReasonGap, c.at)
			}
		}
	}
}
