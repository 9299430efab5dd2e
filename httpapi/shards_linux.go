package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/labstack/echo/v4"
	"golang.org/x/sys/unix"
)

// shards are the sink of plain HTTP/1 over TCP: sockets that were taken from net/http, each served
// by one of a few goroutines, as many as processors. A stream there has no goroutine, no timer and
// no buffer of its own.
type shards struct {
	shardOptions
	all    []*shard
	chosen atomic.Uint32
	run    sync.WaitGroup
}

// newShards starts shards, which end with ctx.
func newShards(ctx context.Context, o shardOptions) (*shards, error) {
	k := &shards{shardOptions: o}
	for range runtime.GOMAXPROCS(0) {
		s, err := newShard(o)
		if err != nil {
			for _, s := range k.all {
				err = errors.Join(err, s.poller.close())
			}
			return nil, fmt.Errorf("start writer shards: %w", err)
		}
		k.all = append(k.all, s)
	}
	for _, s := range k.all {
		k.run.Go(s.poll)
		k.run.Go(func() { s.run(ctx) })
	}
	return k, nil
}

// wait waits until all shards have ended. Without any there is nothing to wait for.
func (k *shards) wait() {
	if k != nil {
		k.run.Wait()
	}
}

// carry hands a stream to a shard, which writes the head too.
func (k *shards) carry(resp *echo.Response, r *http.Request, st *stream) {
	f := framing(r.ProtoAtLeast(1, 1))
	// What the client has sent behind its request stays in the buffer that comes with it: the
	// connection is closed after this answer.
	netConn, _, err := http.NewResponseController(resp.Writer).Hijack()
	if err != nil {
		k.fallback.carry(resp, r, st)
		return
	}
	resp.Status, resp.Committed = http.StatusOK, true
	fd, err := takeOver(netConn)
	if err != nil {
		k.log.Warn("stream is cut off before it began", "cause", err, "fix", "see the limit of open files")
		st.finish(endWrite)
		return
	}
	c := &conn{st: st, fd: fd, framing: f, rest: streamHead(f, resp.Header())}
	c.say(st.encoding.opening(nil, around(st.retry)))
	st.cookies = nil
	if !k.all[k.chosen.Add(1)%uint32(len(k.all))].adopt(c) {
		_ = unix.Close(fd)
		st.finish(endClient)
	}
}
