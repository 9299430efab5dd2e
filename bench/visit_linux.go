package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// transport opens a stream for a client. With a window the client's socket holds no more than so
// many bytes, where it has a socket of its own.
type transport func(ctx context.Context, c *churn, of *client, window int) (*stream, error)

// stream is an open stream of a client.
type stream struct {
	in   io.Reader
	feed func([]byte) error
	buf  []byte
	// end cuts the stream off. It is called by leave and close.
	end func()
	// left: the client has gone by itself, so that errors mean nothing.
	left atomic.Bool
	// follow ends the wait for the end of the context.
	follow func() bool
}

func newStream(ctx context.Context, in io.Reader, feed func([]byte) error, end func()) *stream {
	s := &stream{in: in, feed: feed, buf: make([]byte, 8<<10), end: end}
	s.follow = context.AfterFunc(ctx, s.leave)
	return s
}

// leave closes the page: next fails from now on. It may be called at any time.
func (s *stream) leave() {
	s.left.Store(true)
	s.end()
}

// close lets go of everything.
func (s *stream) close() {
	s.follow()
	s.end()
}

// next reads what comes next.
func (s *stream) next() error {
	n, err := s.in.Read(s.buf)
	if n > 0 {
		if err := s.feed(s.buf[:n]); err != nil {
			s.left.Store(false) // what it says is true, whoever left
			return err
		}
	}
	return err
}

// overHTTP1 has a connection of its own. Every other one is closed with a reset.
func overHTTP1(ctx context.Context, c *churn, of *client, window int) (*stream, error) {
	conn, err := c.relay.dial(ctx, of, window)
	if err != nil {
		return nil, err
	}
	if chance(50) {
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return newStream(ctx, conn, of.feed, func() { _ = conn.Close() }), nil // nothing is lost with it
}

// dial connects and sends a client's request. With a window the socket holds no more than so many
// bytes of the answer.
func (p *relay) dial(ctx context.Context, of *client, window int) (net.Conn, error) {
	d := net.Dialer{}
	if window > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, window) })
			return errors.Join(cerr, err)
		}
	}
	host := strings.TrimPrefix(p.base, "http://")
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(of.begin(host)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// smallWindow is that of clients that never read.
const smallWindow = 4 << 10

// overHTTP2 shares a connection with others.
func overHTTP2(ctx context.Context, c *churn, of *client, _ int) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.relay.base+"/events/"+of.channel, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	of.begin("")
	if of.resumes {
		req.Header.Set("Last-Event-ID", string(of.id))
	}
	if of.cookie != "" {
		req.Header.Set("Cookie", of.cookie)
	}
	resp, err := c.h2.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	end := func() { cancel(); _ = resp.Body.Close() } // nothing is lost with it
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		end()
		return nil, fmt.Errorf("answer %s %s", resp.Proto, resp.Status)
	}
	return newStream(ctx, resp.Body, of.lines, end), nil
}

// polled is the answer to a long poll.
type polled struct {
	Events []struct {
		Event, Reason string
		Key           struct {
			User int   `json:"user_id"`
			N    int64 `json:"n"`
		}
	}
	LastEventID string `json:"last_event_id"`
}

// poller asks again and again.
func (v *visitor) poller(ctx context.Context) error {
	c, err := v.newcomer(ctx, userClient(rand.N(soakUsers)))
	if err != nil {
		return err
	}
	for range 1 + rand.N(10) {
		rows, _ := v.feed.count()
		for first := true; first || c.row < rows[c.user]; first = false {
			if err := v.poll(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", c.channel, err)
			}
		}
	}
	return nil
}

// poll asks once.
func (v *visitor) poll(ctx context.Context, c *client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.relay.base+"/events/"+c.channel+"?wait=5s", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Last-Event-ID", string(c.id))
	resp, err := v.polls.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var got polled
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("long poll: %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return fmt.Errorf("long poll: %w", err)
	}
	return c.take(got)
}

// take takes in the rows of a long poll.
func (c *client) take(got polled) error {
	for _, e := range got.Events {
		switch {
		case e.Event != "insert" || e.Key.User != c.user:
			return fmt.Errorf("long poll: event %s %s of user %d", e.Event, e.Reason, e.Key.User)
		case e.Key.N != c.row+1:
			return fmt.Errorf("long poll: row %d after row %d", e.Key.N, c.row)
		}
		c.row++
	}
	if got.LastEventID == string(c.id) { // an LSN perhaps, with which the client came
		return nil
	}
	at, err := parsePosition([]byte(got.LastEventID))
	if err != nil {
		return fmt.Errorf("long poll: %w", err)
	}
	if at.less(c.at) {
		return fmt.Errorf("long poll: id %s is behind %v", got.LastEventID, c.at)
	}
	c.id, c.at = append(c.id[:0], got.LastEventID...), at
	return nil
}
