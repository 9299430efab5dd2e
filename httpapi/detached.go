package httpapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

// detached is a response of HTTP/1 on a connection that was taken from net/http. A stream lasts, and what
// net/http keeps for its request is 20 KB: a deep stack, buffers, the request itself.
type detached struct {
	conn    net.Conn
	framing framing
	// head is written before the first piece.
	head []byte
}

// Header is nil: the head is made.
func (d *detached) Header() http.Header { return nil }

// WriteHeader does nothing: the head comes with the first piece.
func (d *detached) WriteHeader(int) {}

// Write writes a piece of the body at once.
func (d *detached) Write(p []byte) (int, error) {
	buf := gatherBuffers.Get().(*[]byte)
	out := d.framing.piece(append((*buf)[:0], d.head...), p)
	d.head = nil
	_, err := d.conn.Write(out)
	if cap(out) <= 2*sliceSize {
		*buf = out[:0]
		gatherBuffers.Put(buf)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// FlushError does nothing: Write keeps nothing back.
func (d *detached) FlushError() error { return nil }

// SetWriteDeadline bounds the writes from now on.
func (d *detached) SetWriteDeadline(t time.Time) error { return d.conn.SetWriteDeadline(t) }

// close ends the body, if it is whole, and the connection.
func (d *detached) close(whole bool) {
	if end := d.framing.close(d.head); whole && len(end) > 0 {
		_, _ = d.conn.Write(end) // nobody is there to tell
	}
	_ = d.conn.Close()
}

// detach carries a stream by a goroutine of its own, which keeps nothing of the request. It reports false
// where the response has no connection for itself, or where the server is about to stop.
func (k *responseSink) detach(resp *echo.Response, r *http.Request, st *stream) bool {
	if r.ProtoMajor != 1 || k.handlers == nil || !k.handlers.enter() {
		return false
	}
	// What the client has sent behind its request stays in the buffer that comes with it: the
	// connection is closed after this answer.
	conn, _, err := http.NewResponseController(resp.Writer).Hijack()
	if err != nil {
		k.handlers.leave()
		return false
	}
	resp.Status, resp.Committed = http.StatusOK, true
	d := &detached{conn: conn, framing: framing(r.ProtoAtLeast(1, 1))}
	d.head = streamHead(d.framing, resp.Header())
	st.cookies = nil
	out := newWire(d, r, k.writeTimeout, st.traffic)
	out.cut = &st.sub.cut
	go k.carryDetached(d, out, st)
	return true
}

// carryDetached carries the stream to its end. It survives a panic, which costs nobody else anything, as
// net/http does.
func (k *responseSink) carryDetached(d *detached, out *wire, st *stream) {
	defer k.handlers.leave()
	reason := endWrite
	defer func() {
		if cause := recover(); cause != nil {
			reason = codeInternal
			k.log.Error("a stream is cut off: panic", "cause", fmt.Sprint(cause), "stack", string(debug.Stack()), "fix", "please report this as a bug")
		}
		_ = d.conn.Close()
		st.finish(reason)
	}()
	defer out.drop()
	ctx, gone := context.WithCancel(context.Background())
	defer gone()
	defer context.AfterFunc(k.ctx, func() { _ = d.conn.Close() })() // also ends a write; hangUp notices
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		if hangUp(d.conn) {
			gone()
		}
	}()
	defer func() {
		_ = d.conn.Close()
		<-listened
	}()
	var err error
	if reason, err = k.run(ctx, out, st); err != nil {
		reason = endOf(ctx, err)
		return
	}
	d.close(reason != endClient)
}

// maxHeard bounds what is read of a client that must not send anything.
const maxHeard = 64 << 10

// hangUp waits for the client to go away, and drops what it sends: to close a connection with that unread
// would reset it, and the client could lose the end of its stream. It reports false for a client that does
// not stop sending: that is no more listened to.
func hangUp(conn net.Conn) bool {
	var b [512]byte
	for heard := 0; heard < maxHeard; {
		n, err := conn.Read(b[:])
		if err != nil {
			return true
		}
		heard += n
	}
	return false
}
