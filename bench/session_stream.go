package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// sessionStream is the stream of a user who is signed in. It waits for its end.
type sessionStream struct {
	user int
	conn net.Conn
	// expected: the user has been signed out, or is about to be.
	expected atomic.Bool
	// done is closed when the stream is over; ended and err say when and why then.
	done  chan struct{}
	ended time.Time
	err   error
}

// openSession asks until the stream is live.
func (p *relay) openSession(ctx context.Context, user int) (*sessionStream, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		s, err := p.trySession(ctx, user)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return s, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *relay) trySession(ctx context.Context, user int) (*sessionStream, error) {
	var d net.Dialer
	host := strings.TrimPrefix(p.base, "http://")
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	s := &sessionStream{user: user, conn: conn, done: make(chan struct{})}
	in := bufio.NewReaderSize(conn, 1<<10)
	if err := s.begin(host, in); err != nil {
		return nil, errors.Join(fmt.Errorf("user %d: %w: %s", user, err, p.stderr.String()), conn.Close())
	}
	go s.run(in)
	return s, nil
}

// begin reads up to the ready event. The lines of chunks in between mean nothing to it.
func (s *sessionStream) begin(host string, in *bufio.Reader) error {
	if _, err := fmt.Fprintf(s.conn, "GET /events/notes HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nCookie: %s\r\n\r\n", host, sessionCookie(s.user)); err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return fmt.Errorf("answer %q", line)
		case bytes.HasPrefix(line, []byte("event: ready")):
			return nil
		case bytes.HasPrefix(line, []byte("event: ")):
			return fmt.Errorf("stream said %q", line)
		}
	}
}

func (s *sessionStream) run(in *bufio.Reader) {
	defer close(s.done)
	s.err = s.read(in)
}

// read reads to the end event. Whoever is signed out gets nothing but that, and whoever is signed
// in nothing at all.
func (s *sessionStream) read(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return fmt.Errorf("user %d: %w", s.user, err)
		case bytes.HasPrefix(line, []byte("event: insert")):
			return fmt.Errorf("user %d got a row that was committed after the logout", s.user)
		case bytes.HasPrefix(line, []byte(`data: {"reason":`)):
			s.ended = time.Now()
			if !s.expected.Load() || !bytes.Contains(line, []byte(`"signed_out"`)) {
				return fmt.Errorf("user %d, signed out %t: stream said %q", s.user, s.expected.Load(), line)
			}
			return nil
		}
	}
}

func (s *sessionStream) close() {
	_ = s.conn.Close() // nothing more is read of it
	<-s.done
}
