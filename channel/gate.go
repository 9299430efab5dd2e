package channel

import "github.com/walrelay/walrelay/change"

// gate holds back from an audience what its subscribers know already, while changes around a
// snapshot are read again.
type gate struct {
	// known: everything up to here was delivered or, with visible, is in the snapshot.
	known change.Position
	// visible is that of the snapshot that was sent: nil for a channel that had none.
	visible *Visibility
}

// holds reports whether the audience must not get a change.
func (g *gate) holds(c *change.Change) bool {
	switch {
	case g == nil:
		return false
	case g.visible != nil:
		return g.visible.Has(c.Tx.XID)
	}
	return c.Position.Compare(g.known) <= 0
}

// passed reports whether the audience knows everything up to a position, so that what could not be
// judged there does not matter to it.
func (g *gate) passed(at change.Position) bool { return g != nil && at.Compare(g.known) <= 0 }
