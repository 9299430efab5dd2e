package channel

import (
	"context"
	"errors"
	"fmt"

	"github.com/walrelay/walrelay/change"
)

// maxReplay bounds the changes that are read again around a snapshot, in bytes of their frames.
const maxReplay = 16 << 20

// replay evaluates a stretch of the log for one view, apart from all lanes. Its frames have
// no ids.
type replay struct {
	hub   *Hub
	lane  *lane
	rider *riddenView
}

func newReplay(h *Hub, v *view, from change.Position) *replay {
	l := newLane(h, from)
	l.index.bare = true
	l.index.join(&Subscriber{hub: h, view: v})
	return &replay{hub: h, lane: l, rider: l.index.views[v]}
}

// run evaluates everything up to a position.
func (p *replay) run(ctx context.Context, to change.Position) (*runBuffer, error) {
	out := &runBuffer{}
	p.rider.out, p.rider.touched = out, true
	l := p.lane
	l.noteLate(p.hub.events.SinceVersion())
	for l.at.Less(to) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := p.hub.events.Next(l.at)
		switch {
		case err != nil:
			return nil, err
		case l.generation != p.hub.events.Bounds().Lineage.Generation:
			return nil, errGeneration
		case b == nil:
			l.cross(to)
			return out, p.judged(out)
		}
		if err := p.batch(b, to); err != nil {
			return nil, err
		}
		l.at = b.Last
		if err := p.judged(out); err != nil {
			return nil, err
		}
	}
	l.cross(to)
	return out, p.judged(out)
}

// judged reports why the stretch cannot be given to anybody.
func (p *replay) judged(out *runBuffer) error {
	switch {
	case len(p.lane.index.cuts) > 0:
		return errors.New("a change around the snapshot cannot be judged")
	case len(out.buf) > maxReplay:
		return fmt.Errorf("more than %d MiB were committed around the snapshot", maxReplay>>20)
	}
	return nil
}

func (p *replay) batch(b *change.Batch, to change.Position) error {
	l := p.lane
	for l.reader.Reset(b); l.reader.Next(&l.change); {
		if l.change.Position.Compare(l.at) <= 0 || to.Less(l.change.Position) {
			continue
		}
		l.cross(l.change.Position)
		if err := l.match.match(&l.change); err != nil {
			return err
		}
	}
	return l.reader.Err()
}
