package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// encoding is how a stream's events look on the wire.
type encoding interface {
	// opening comes before the first event.
	opening(dst []byte, retry time.Duration) []byte
	// run hands the events of r to out.
	run(out *wire, r *channel.Run) error
	// bytes are the events of r: its own bytes, or appended to dst.
	bytes(dst []byte, r *channel.Run) (b []byte, own bool)
	// wrote is told of each run whose bytes have been written, by who did not call run.
	wrote(r *channel.Run)
	// heartbeat shows the client that it is complete up to id, or, where that is zero, just that we live.
	heartbeat(dst []byte, id channel.EventID) []byte
	// end is the last event: come back after retry.
	end(dst []byte, reason string, retry time.Duration) []byte
}

// sse is the text/event-stream encoding. The hub renders frames in it already.
type sse struct{}

func (sse) opening(dst []byte, retry time.Duration) []byte {
	return append(appendRetry(dst, retry), '\n')
}

func (sse) run(out *wire, r *channel.Run) error { return out.add(r.Bytes) }

func (sse) bytes(_ []byte, r *channel.Run) ([]byte, bool) { return r.Bytes, true }

func (sse) wrote(*channel.Run) {}

// heartbeat is a frame that has an id only, or a comment.
func (sse) heartbeat(dst []byte, id channel.EventID) []byte {
	if id == (channel.EventID{}) {
		return append(dst, ":\n\n"...)
	}
	return id.AppendFrame(dst)
}

func (sse) end(dst []byte, reason string, retry time.Duration) []byte {
	return appendEndSSE(dst, reason, retry)
}

// appendEndSSE has no id, so the browser's Last-Event-ID stays.
func appendEndSSE(dst []byte, reason string, retry time.Duration) []byte {
	dst = appendRetry(dst, retry)
	dst = append(dst, "event: end\ndata: "...)
	dst = appendReason(dst, reason)
	return append(dst, "\n\n"...)
}

func appendRetry(dst []byte, retry time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	return append(dst, '\n')
}

func appendReason(dst []byte, reason string) []byte {
	dst = append(dst, `{"reason":`...)
	dst = appendString(dst, reason)
	return append(dst, '}')
}

// setStreamHeaders sets what keeps caches, proxies and compressors from holding a
// stream back.
func setStreamHeaders(h http.Header, k kind) {
	h.Set("Content-Type", k.contentType())
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}
