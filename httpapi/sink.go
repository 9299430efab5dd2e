package httpapi

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// sink carries streams to clients. It writes the head of the answer, is the only writer of a
// stream it was given and calls finish at the stream's end, which may be after carry has
// returned.
type sink interface {
	carry(resp *echo.Response, r *http.Request, st *stream)
}

// sinkFor chooses the sink: shards have the sockets for themselves, so it takes plain HTTP/1
// over TCP.
func (s *Server) sinkFor(r *http.Request) sink {
	_, tcp := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if s.shards == nil || !tcp || r.TLS != nil || r.ProtoMajor != 1 {
		return s.response
	}
	return s.shards
}

// startShards opens the shards, where there are any.
func (s *Server) startShards() (err error) {
	if s.opt.ResponseSink {
		return nil
	}
	s.shards, err = newShards(s.ctx, shardOptions{
		heartbeat:    s.opt.Heartbeat,
		writeTimeout: s.opt.WriteTimeout,
		drain:        s.streams.ctx.Done(),
		fallback:     s.response,
		log:          s.log,
	})
	return err
}

// shardOptions are what a server tells its shards.
type shardOptions struct {
	heartbeat, writeTimeout time.Duration
	// drain is closed when the server drains.
	drain <-chan struct{}
	// fallback carries what turns out to be no socket of ours.
	fallback *responseSink
	log      *slog.Logger
}

// streamHead is the head of a stream's answer on a connection that was taken from net/http.
//
// It is chunked, although the connection ends with the stream: proxies and scripts can tell a
// stream that has ended from one that was cut off. HTTP/1.0, which nginx speaks unless it is
// told not to, knows no chunks.
func streamHead(f framing, h http.Header) []byte {
	b := bytes.NewBufferString("HTTP/1.0 200 OK\r\n")
	if f == chunked {
		b = bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
		h.Set("Transfer-Encoding", "chunked")
	}
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = h.Write(b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// framing is how the pieces of a body are set apart from each other.
type framing bool

// The framings of HTTP/1.
const (
	plain   framing = false // a body ends with its connection
	chunked framing = true
)

// head comes before a piece of n bytes. A piece without bytes has no frame: that would be the end.
func (f framing) head(dst []byte, n int) []byte {
	if !f || n == 0 {
		return dst
	}
	return append(strconv.AppendUint(dst, uint64(n), 16), "\r\n"...)
}

// tail comes behind a piece of n bytes.
func (f framing) tail(dst []byte, n int) []byte {
	if !f || n == 0 {
		return dst
	}
	return append(dst, "\r\n"...)
}

// close ends the body.
func (f framing) close(dst []byte) []byte {
	if !f {
		return dst
	}
	return append(dst, "0\r\n\r\n"...)
}

// piece is p with head and tail.
func (f framing) piece(dst, p []byte) []byte {
	return f.tail(append(f.head(dst, len(p)), p...), len(p))
}

// size is that of a piece of n bytes with head and tail.
func (f framing) size(n int) int {
	if !f || n == 0 {
		return n
	}
	digits := 1
	for m := n >> 4; m > 0; m >>= 4 {
		digits++
	}
	return n + digits + len("\r\n\r\n")
}
