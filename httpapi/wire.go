package httpapi

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/fault"
)

const (
	// gatherSize is how much of what is pending is copied together for one write.
	// Larger runs are written from where they are: they are shared, and a copy for
	// each slow client would not be bounded by anything.
	gatherSize = 32 << 10
	// sliceSize is the most that one write deadline covers, so that a slow client
	// that does read is not taken for a dead one.
	sliceSize = 64 << 10
)

// gatherBuffers holds buffers while their streams are idle.
var gatherBuffers = sync.Pool{New: func() any { return new([]byte) }}

// wire is the one writer of a response: it gathers, writes with a deadline, and
// counts. Not safe for concurrent use.
type wire struct {
	w       http.ResponseWriter
	ctl     *http.ResponseController
	timeout time.Duration
	// lapse: the deadline must be taken back after a write, because HTTP/2 resets
	// the stream when it passes, also with nothing to write.
	lapse   bool
	traffic *traffic
	// cut is true once nothing of what has been handed over may be written any more; nil: never.
	cut *atomic.Bool

	// buf is what has been gathered. Invariant: appended to only between take and
	// drop, where it is from the pool.
	buf    []byte
	pooled *[]byte
	// dirty: something has been written since the last flush.
	dirty bool
}

func newWire(w http.ResponseWriter, r *http.Request, timeout time.Duration, t *traffic) *wire {
	return &wire{w: w, ctl: http.NewResponseController(w), timeout: timeout, lapse: r.ProtoMajor > 1, traffic: t}
}

// send writes runs, with what is in buf already before them, and flushes. Cut off it stops
// behind the run that it is at.
func (o *wire) send(e encoding, runs []*channel.Run) error {
	for i, r := range runs {
		if o.cut != nil && o.cut.Load() {
			runs = runs[:i]
			break
		}
		if err := e.run(o, r); err != nil {
			return err
		}
	}
	if err := o.flush(); err != nil {
		return err
	}
	o.traffic.sent(runs, time.Now())
	return nil
}

// take makes buf ready to append to.
func (o *wire) take() {
	if o.pooled == nil {
		o.pooled = gatherBuffers.Get().(*[]byte)
		o.buf = (*o.pooled)[:0]
	}
}

// drop gives the buffer back; one that has become large is left to the collector.
func (o *wire) drop() {
	if o.pooled != nil && cap(o.buf) <= 2*gatherSize {
		*o.pooled = o.buf[:0]
		gatherBuffers.Put(o.pooled)
	}
	o.pooled, o.buf = nil, nil
}

// add gathers p, or writes it when it is large.
func (o *wire) add(p []byte) error {
	if len(o.buf)+len(p) > gatherSize {
		if err := o.writeBuf(); err != nil {
			return err
		}
	}
	if len(p) > gatherSize {
		return o.write(p)
	}
	o.take()
	o.buf = append(o.buf, p...)
	return nil
}

// relieve writes buf when it is full.
func (o *wire) relieve() error {
	if len(o.buf) < gatherSize {
		return nil
	}
	return o.writeBuf()
}

func (o *wire) writeBuf() error {
	err := o.write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *wire) write(p []byte) error {
	for len(p) > 0 {
		if err := o.ctl.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
			return fmt.Errorf("set write deadline: %w", err)
		}
		n, err := o.w.Write(p[:min(len(p), sliceSize)])
		o.traffic.bytes.Add(float64(n))
		if err != nil {
			return err
		}
		fault.At(fault.Written)
		o.dirty = true
		p = p[n:]
	}
	return nil
}

// flush sends everything on its way and gives the buffer back.
func (o *wire) flush() error {
	if err := o.writeBuf(); err != nil {
		return err
	}
	o.drop()
	if !o.dirty {
		return nil
	}
	o.dirty = false
	if err := o.ctl.Flush(); err != nil {
		return err
	}
	if o.lapse {
		return o.ctl.SetWriteDeadline(time.Time{})
	}
	return nil
}
