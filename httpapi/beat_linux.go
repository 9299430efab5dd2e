package httpapi

import "github.com/walrelay/walrelay/channel"

// beat is the heartbeat that was made last: who has the same view is mostly at the same position, and gets
// the same bytes.
type beat struct {
	id channel.EventID
	// as is the encoding; nil: what was made is nobody else's.
	as           encoding
	text, framed []byte
	framing      framing
}

// of is c's heartbeat, without and with the framing, valid until the next call.
//
// The id is asked for first and is all that the bytes depend on, so that nobody is told of a position at
// which another one is.
func (b *beat) of(c *conn) (text, framed []byte) {
	id, e := c.st.sub.Complete(), c.st.encoding
	if b.as != nil && b.as == e && b.id == id && b.framing == c.framing {
		return b.text, b.framed
	}
	b.as = nil // also what belongs to one stream is not kept
	b.text = e.heartbeat(b.text[:0], id)
	b.framed = c.framing.piece(b.framed[:0], b.text)
	if stateless(e) {
		b.id, b.as, b.framing = id, e, c.framing
	}
	return b.text, b.framed
}

// stateless reports whether an encoding gives the same bytes for the same every time.
func stateless(e encoding) bool {
	switch e.(type) {
	case sse, ndjson:
		return true
	}
	return false
}
