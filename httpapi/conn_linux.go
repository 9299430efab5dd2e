package httpapi

import (
	"time"

	"github.com/walrelay/walrelay/channel"
)

// conn is a stream on a socket that a shard has. It belongs to the shard's goroutine.
type conn struct {
	spoke
	st *stream
	fd int
	// key tells the connection from all others that the shard has had.
	key     uint64
	framing framing
	// blocked: the socket took less than there was. Invariant: then epoll will tell of room. What waits
	// for it may have been cut off.
	blocked bool
	// told: the end is in rest, or written.
	told bool
	// rest is what is pending and of no run: the head, the opening, a heartbeat, the end. It is written
	// before runs.
	rest []byte
	// runs are what was taken from the queue and is not known to be written. They are shared, and
	// never copied for a client that does not read.
	runs []*channel.Run
	// at is the run to go on with, off how many bytes of it are written, with those of its frame.
	at, off int
	// ending is why the stream ends once everything pending is written; empty: it goes on.
	ending string
	// wrote is when the socket last took something, or was found to be full, since the start of the shard.
	// Once the stream is over a full socket must take all that it was given last, not just something.
	wrote time.Duration
	// expires is when the stream ends with end{renew}; 0: never.
	expires time.Duration
}

// pending reports whether something is to be written.
func (c *conn) pending() bool { return len(c.rest) > 0 || c.at < len(c.runs) }

// over reports that the stream is ending, or that its session has.
func (c *conn) over() bool { return c.ending != "" || c.st.sub.cut.Load() }

// end makes reason the end of the stream, unless it is ending: behind the run that is being written.
func (c *conn) end(reason string) {
	if c.ending != "" {
		return
	}
	c.ending = reason
	c.cutOff()
}

// cutOff drops what has been taken from the queue, behind the run that is being written.
func (c *conn) cutOff() {
	most := c.at
	if c.off > 0 {
		most++
	}
	if most < len(c.runs) {
		c.runs = c.runs[:most]
	}
}

// say adds bytes that are of no run, behind which nothing is pending.
func (c *conn) say(p []byte) {
	c.rest = c.framing.piece(c.rest, p)
	c.st.traffic.bytes.Add(float64(len(p)))
}

// tell says why the stream ends and when to come back.
func (c *conn) tell() {
	c.told = true
	c.say(c.st.encoding.end(nil, c.ending, retryAfterEnd(c.ending, c.st.retry)))
	c.rest = c.framing.close(c.rest)
}

// gather is what to write now, at most sliceSize bytes: gathered in scratch, or a part of a large run
// where it is. It changes nothing.
func (c *conn) gather(s *scratch) []byte {
	b := &s.block
	if b.is(c) {
		return b.out
	}
	b.begin(c)
	off, size := c.off, len(c.rest)
	for _, r := range c.runs[c.at:] {
		body := s.body(c.st.encoding, r)
		s.frame = c.framing.head(s.frame[:0], len(body))
		head := len(s.frame)
		s.frame = c.framing.tail(s.frame, len(body))
		for _, part := range [...][]byte{s.frame[:head], body, s.frame[head:]} {
			skip := min(off, len(part))
			off, part = off-skip, part[skip:]
			if len(b.out) == 0 && len(part) >= gatherSize {
				return part[:min(len(part), sliceSize)]
			}
			b.add(part)
		}
		size += len(s.frame) + len(body)
		b.runs, b.sizes = append(b.runs, r), append(b.sizes, len(body))
		if len(b.out) >= gatherSize {
			break
		}
	}
	b.whole = len(b.out) == size && len(c.rest) == 0
	return b.out
}

// advance counts n bytes as written. It returns how many of them end runs, with all bytes of those but no
// framing.
func (c *conn) advance(n int, s *scratch) (written int) {
	if k := min(n, len(c.rest)); k > 0 {
		n -= k
		if c.rest = c.rest[k:]; len(c.rest) == 0 {
			c.rest = nil
		}
	}
	for i := 0; c.at < len(c.runs); i++ {
		size := s.size(c, i)
		left := c.framing.size(size) - c.off
		if n < left {
			c.off += n
			break
		}
		n -= left
		written += size
		c.st.encoding.wrote(c.runs[c.at])
		c.at, c.off = c.at+1, 0
	}
	return written
}
