package httpapi

import "github.com/walrelay/walrelay/channel"

// beat is the heartbeat that was made last: who has the same view is mostly at the same position, and gets
// the same bytes.
type beat struct {
	id           channel.EventID
	as           encoding
	text, framed []byte
	framing      framing
}

// of is c's heartbeat, without and with the framing, valid until the next call.
//
// The id is asked for first and is all that the bytes depend on, so that nobody is told of a position at
// which another one is.
func (b *beat) of(c *conn) (text, framed []byte) {
	id := c.st.sub.Complete()
	if len(b.text) == 0 || b.id != id || b.as != c.st.encoding || b.framing != c.framing || !stateless(b.as) {
		b.text = c.st.encoding.heartbeat(b.text[:0], id)
		b.framed = c.framing.piece(b.framed[:0], b.text)
		b.id, b.as, b.framing = id, c.st.encoding, c.framing
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
