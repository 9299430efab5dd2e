package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/channel"
)

// Reasons why a stream ended, beside those that the hub gives and refusals have.
const (
	endRenew    = "renew"          // max_stream reached
	endSigned   = "signed_out"     // the session is over
	endClaims   = "claims_changed" // the user may see other rows now
	endClient   = "client_closed"  // the client went away, or the kernel gave up on it
	endSlow     = "slow_client"    // a write made no progress within the write timeout
	endWrite    = "write_failed"   // any other error of a write
	endComplete = "answered"       // a long poll got its answer
)

// stream is one accepted subscription on its way to its client.
type stream struct {
	sub      *leash
	encoding encoding
	retry    time.Duration
	// life ends the stream with end{renew}; 0 means never.
	life time.Duration
	// cookies are values of Set-Cookie for the answer.
	cookies []string
	// drain is closed when the server drains.
	drain   <-chan struct{}
	traffic *traffic

	once    sync.Once
	release func(reason string)
}

// leash is a subscription as its session has it: End also keeps from the client what has been
// taken and not been written yet, for a slow client may take long to read it.
type leash struct {
	Subscriber
	cut atomic.Bool
}

// End ends the stream.
func (l *leash) End(reason string) {
	l.cut.Store(true)
	l.Subscriber.End(reason)
}

// Complete names nothing behind the end, also where the hub does not know of it yet: a sink may have
// dropped what it counts as the client's.
func (l *leash) Complete() channel.EventID {
	if l.cut.Load() {
		return channel.EventID{}
	}
	return l.Subscriber.Complete()
}

// LastID is Complete as text.
func (l *leash) LastID() string { return l.Complete().Text() }

// finish closes the subscription and gives back what the stream held. Whoever
// carries the stream calls it at its end; calls after the first do nothing.
func (st *stream) finish(reason string) {
	st.once.Do(func() {
		st.sub.Close()
		st.release(reason)
	})
}

// responseSink has a goroutine for each stream. It works for every protocol and system: HTTP/2 by the
// ResponseWriter, from the handler's goroutine, and HTTP/1 by the connection, see detached.
type responseSink struct {
	heartbeat, writeTimeout time.Duration
	// ctx ends all streams whose connections were taken; handlers waits for them.
	ctx      context.Context
	handlers *gate
	log      *slog.Logger
}

func (k *responseSink) carry(resp *echo.Response, r *http.Request, st *stream) {
	if k.detach(resp, r, st) {
		return
	}
	reason := endWrite
	defer func() { st.finish(reason) }()
	resp.WriteHeader(http.StatusOK)
	// Not resp itself: it swallows the errors of Flush.
	out := newWire(resp.Writer, r, k.writeTimeout, st.traffic)
	out.cut = &st.sub.cut
	defer out.drop()
	var err error
	if reason, err = k.run(r.Context(), out, st); err != nil {
		reason = endOf(r.Context(), err)
	}
}

// endOf is the reason for which a write failed.
func endOf(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return endSlow
	case ctx.Err() != nil:
		return endClient
	}
	return endWrite
}

// always is ready to receive from.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// run is the one loop of a stream. It returns why the stream ended, once the client
// has been told.
func (k *responseSink) run(ctx context.Context, out *wire, st *stream) (string, error) {
	beat := time.NewTimer(k.heartbeat)
	defer beat.Stop()
	var expired <-chan time.Time
	if st.life > 0 {
		life := time.NewTimer(st.life)
		defer life.Stop()
		expired = life.C
	}
	out.take()
	out.buf = st.encoding.opening(out.buf, around(st.retry))
	changed := always
	wrote := time.Now()
	for {
		select {
		case <-ctx.Done():
			return endClient, nil
		case <-st.drain:
			return k.end(out, st, codeDraining)
		case <-expired:
			return k.end(out, st, endRenew)
		case <-changed:
			more, reason, err := k.pass(out, st)
			if err != nil || reason != "" {
				return reason, err
			}
			changed = st.sub.Changed()
			if more {
				changed, wrote = always, time.Now()
			}
		case <-beat.C:
			if idle := time.Since(wrote); idle < k.heartbeat {
				beat.Reset(k.heartbeat - idle)
				continue
			}
			if err := k.beat(out, st); err != nil {
				return "", err
			}
			wrote = time.Now()
			beat.Reset(k.heartbeat)
		}
	}
}

// pass writes what is queued. more says that it is to be called again, reason that
// the hub or the session has ended the stream.
func (k *responseSink) pass(out *wire, st *stream) (more bool, reason string, err error) {
	runs, end, ended := st.sub.Next()
	if ended {
		reason, err = k.end(out, st, end)
		return false, reason, err
	}
	return len(runs) > 0, "", out.send(st.encoding, runs)
}

func (k *responseSink) beat(out *wire, st *stream) error {
	out.take()
	out.buf = st.encoding.heartbeat(out.buf, st.sub.Complete())
	if err := out.flush(); err != nil {
		return err
	}
	st.traffic.heartbeats.Inc()
	return nil
}

// end tells the client why and when to come back.
func (k *responseSink) end(out *wire, st *stream, reason string) (string, error) {
	out.take()
	out.buf = st.encoding.end(out.buf, reason, retryAfterEnd(reason, st.retry))
	return reason, out.flush()
}
