package channel

import (
	"errors"

	"github.com/walrelay/walrelay/eventlog"
)

// lost handles an error of a lane: what its subscribers missed cannot be had any
// more. It runs on the lane's goroutine.
func (h *Hub) lost(l *lane, err error) {
	if errors.Is(err, eventlog.ErrClosed) {
		return
	}
	bounds := h.events.Bounds()
	subscribers := l.subscribers()
	reason := h.lostReason(l, err, bounds)
	var here []*Subscriber // to restart once the live lane has moved
	for _, s := range subscribers {
		l.index.leave(s)
		s.alight(l.at) // before the lane moves past what they missed
		switch {
		case s.view.generation != bounds.Lineage.Generation:
			s.finish(string(reason)) // comes back with a tag of the old generation and is reset
		case reason == ReasonExpired && !s.position().Less(bounds.Floor),
			reason == ReasonGap && l.at.Less(s.position()): // the damage is behind it
			h.board(s)
		case l == h.live:
			here = append(here, s)
		default:
			h.live.post(func() { h.restart(s, reason) })
		}
	}
	if l == h.live {
		l.generation = bounds.Lineage.Generation
		l.move(bounds.Last)
	}
	for _, s := range here {
		h.restart(s, reason)
	}
}

func (h *Hub) lostReason(l *lane, err error, bounds eventlog.Bounds) Reason {
	switch {
	case l.generation != bounds.Lineage.Generation:
		return h.endedReason()
	case errors.Is(err, eventlog.ErrTrimmed):
		return ReasonExpired
	}
	if errors.Is(err, eventlog.ErrCorrupt) { // the log has said so
		return ReasonGap
	}
	h.log.Error("event log cannot be read: clients get reset", "after", l.at.String(), "cause", err)
	return ReasonGap
}

// endedReason is why the log's last generation ended.
func (h *Hub) endedReason() Reason {
	if past := h.events.History(); len(past) > 0 {
		return Reason(past[len(past)-1].Reason)
	}
	return ReasonGap
}
