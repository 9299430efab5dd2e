package httpapi

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/coding"
)

// coded is an encoding in a content coding. Runs are compressed once for all streams that share
// them; what one stream alone gets is not compressed. It belongs to one stream, unlike the
// encoding inside.
type coded struct {
	encoding
	*codec
	form channel.Form
	// sum is of everything that the client has got, or is about to: of a run once it is written,
	// because an end may drop it before.
	sum coding.Sum
}

// codec is a coding and what is counted of it.
type codec struct {
	coding coding.Coding
	// runs were compressed.
	runs prometheus.Counter
	// plain and written are what was written of runs, before and after compression.
	plain, written prometheus.Counter
}

// code puts an encoding into the coding that the client likes best.
func (m *metrics) code(e encoding, c coding.Coding) encoding {
	if c == coding.Identity {
		return e
	}
	form := channel.Form(c - coding.Gzip)
	if _, lines := e.(ndjson); lines {
		form += channel.Forms / 2
	}
	return &coded{encoding: e, codec: m.codecs[c], form: form}
}

// setCodingHeaders says how the stream is coded, and that others may get another one.
func setCodingHeaders(h http.Header, c coding.Coding) {
	h.Set("Vary", h.Get("Vary")+", Accept-Encoding")
	if c != coding.Identity {
		h.Set("Content-Encoding", c.String())
	}
}

// alike reports whether two encodings make the same bytes of a run.
func alike(a, b encoding) bool {
	if a == b {
		return true
	}
	x, coded1 := a.(*coded)
	y, coded2 := b.(*coded)
	return coded1 && coded2 && x.codec == y.codec && x.form == y.form
}

func (c *coded) opening(dst []byte, retry time.Duration) []byte {
	dst = c.coding.Begin(dst)
	from := len(dst)
	return c.literal(c.encoding.opening(dst, retry), from)
}

func (c *coded) run(out *wire, r *channel.Run) error {
	if err := out.add(c.piece(r).Bytes); err != nil {
		return err
	}
	c.wrote(r)
	return nil
}

func (c *coded) bytes(_ []byte, r *channel.Run) ([]byte, bool) { return c.piece(r).Bytes, true }

func (c *coded) wrote(r *channel.Run) {
	p := c.piece(r)
	c.sum.Add(p)
	c.plain.Add(float64(p.Size))
	c.written.Add(float64(len(p.Bytes)))
}

func (c *coded) heartbeat(dst []byte, id channel.EventID) []byte {
	from := len(dst)
	return c.literal(c.encoding.heartbeat(dst, id), from)
}

func (c *coded) end(dst []byte, reason string, retry time.Duration) []byte {
	from := len(dst)
	dst = c.literal(c.encoding.end(dst, reason, retry), from)
	return c.coding.End(dst, c.sum)
}

// literal codes what stands behind from, in its place.
func (c *coded) literal(dst []byte, from int) []byte {
	end := len(dst)
	c.sum.AddText(dst[from:])
	dst = c.coding.Literal(dst, dst[from:])
	return dst[:from+copy(dst[from:], dst[end:])]
}

// piece is a run, compressed.
func (c *coded) piece(r *channel.Run) *coding.Piece {
	if p := r.Coded(c.form); p != nil {
		return p
	}
	return r.Code(c.form, func() *coding.Piece {
		c.runs.Inc()
		text := texts.Get().(*[]byte)
		defer texts.Put(text)
		b, own := c.encoding.bytes((*text)[:0], r)
		if !own && cap(b) <= maxText {
			*text = b
		}
		return c.coding.Piece(b)
	})
}

// texts are where runs are encoded to be compressed, of which maxText is kept at most.
var texts = sync.Pool{New: func() any { return new([]byte) }}

const maxText = 4 * sliceSize
