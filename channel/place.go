package channel

import (
	"encoding/json"

	"github.com/walrelay/walrelay/change"
)

// place puts a new subscriber on its first lane. It runs on the live lane.
func (h *Hub) place(s *Subscriber, resuming bool, id EventID, reason Reason) {
	l := h.live
	if l.generation != h.events.Bounds().Lineage.Generation { // the lane has not seen it yet
		h.lost(l, errGeneration)
	}
	switch {
	case !resuming || reason != "":
		if !resuming && !s.view.snapshots() {
			id = EventID{At: l.at, Tag: s.view.tag}
		}
		h.begin(s, h.readyRun(s.view, false, id, l.at, reason), true)
	case id.At.Less(l.at):
		h.resume(s, id)
	default:
		id.Tag = s.view.tag
		s.control(h.readyRun(s.view, true, id, id.At, ""), id.At)
		l.join(s)
		h.waitAhead(s, id)
	}
}

// begin queues what a subscriber must know first and lets it go on at the live lane's position, behind
// a snapshot where its view has them; fresh is renew's. It runs on the live lane.
func (h *Hub) begin(s *Subscriber, first *Run, fresh bool) {
	if s.view.snapshots() {
		h.renew(s, first, h.live.at, fresh)
		return
	}
	s.control(first, h.live.at)
	h.live.join(s)
}

// resume sends a subscriber that is behind the live lane to a catch-up lane.
func (h *Hub) resume(s *Subscriber, id EventID) {
	id.Tag = s.view.tag
	s.control(h.readyRun(s.view, true, id, id.At, ""), id.At)
	h.board(s)
}

// waitAhead bounds the wait of a client that is ahead of the log: the changes that
// it saw are replayed when walrelay or its disk lost them, else they never existed.
//
// The wait begins again where the log did not follow Postgres all the time: with
// Postgres away nobody can know.
func (h *Hub) waitAhead(s *Subscriber, id EventID) {
	if !change.Before(h.events.Bounds().WAL).Less(id.At) {
		return
	}
	following := h.following()
	s.giveUpAfter(h.aheadWait, func() {
		h.live.post(func() {
			switch {
			case !h.live.at.Less(s.position()):
			case !following || !h.following(), !s.rides(h.live): // off the lane it waits for a snapshot
				h.waitAhead(s, id)
			default:
				h.live.index.leave(s)
				h.restart(s, ReasonUnknownID)
			}
		})
	})
}

// restart tells a subscriber to forget its rows and goes on at the live lane's
// position. It runs on the live lane.
func (h *Hub) restart(s *Subscriber, reason Reason) {
	if s.view.generation != h.live.generation {
		h.live.join(s) // which ends it
		return
	}
	b := &runBuffer{}
	h.resets(b, s.view, h.live.at, reason)
	h.begin(s, b.seal(), true)
}

// readyRun renders the ready event, and the resets that follow it where the stream
// could not be resumed. With resets ready repeats the client's own id, so that a
// cut between ready and the last reset makes the client ask again.
func (h *Hub) readyRun(v *view, resumed bool, id EventID, at change.Position, reason Reason) *Run {
	position := at.Commit
	if position&7 != 0 { // a cursor before a WAL end, see change.Before
		position++
	}
	data, err := json.Marshal(struct {
		Resumed  bool     `json:"resumed"`
		Channels []string `json:"channels"`
		Position string   `json:"position"`
	}{resumed, v.names(), position.String()})
	if err != nil {
		h.log.Error("render ready event", "cause", err)
	}
	b := &runBuffer{}
	if id.Tag != "" {
		b.add(EventReady, data, id.At, id.Tag)
	} else { // the client named none, or a snapshot follows and carries the first id
		b.event(EventReady, data, change.Position{})
	}
	if reason != "" {
		h.resets(b, v, at, reason)
	}
	return b.seal()
}

// resets appends one reset per channel.
func (h *Hub) resets(b *runBuffer, v *view, at change.Position, reason Reason) {
	for _, a := range v.audiences {
		h.reset(b, v, a, at, reason)
	}
}

// reset appends the reset of one of a view's channels. The last one at a position carries the id, unless a
// snapshot follows: that has the id then.
func (h *Hub) reset(b *runBuffer, v *view, a *audience, at change.Position, reason Reason) {
	data := appendReset(nil, a.name, reason)
	if v.snapshots() {
		b.event(EventReset, data, at)
	} else {
		b.add(EventReset, data, at, v.tag)
	}
	h.stats.reset(reason)
}
