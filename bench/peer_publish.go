package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// eventSize is the number of bytes in the data of an event.
const eventSize = 200

// publisher gives a server its messages, one call after the other.
type publisher interface {
	// publish hands over n messages with the numbers from first. It may return before the server
	// has answered.
	publish(ctx context.Context, first int64, n int) error
	// close lets go of the connection, and says what went wrong that publish could not.
	close() error
}

// hubPublisher posts each message to a server over one connection, without waiting for answers.
type hubPublisher struct {
	conn net.Conn
	out  *bufio.Writer
	head string // of a request, without the length
	body []byte

	mu    sync.Mutex
	err   error // of an answer
	done  chan struct{}
	ended bool // close was called
}

func newHubPublisher(ctx context.Context, addr, path string) (*hubPublisher, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect the publisher: %w", err)
	}
	p := &hubPublisher{conn: conn, out: bufio.NewWriterSize(conn, 64<<10), done: make(chan struct{}),
		head: "POST " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nContent-Type: application/json\r\nContent-Length: "}
	go func() { defer close(p.done); p.answers() }()
	return p, nil
}

// hubPrefix is how the data of a message begins, up to its number.
const hubPrefix = `{"seq":`

// hubData is the data of a message, of eventSize bytes.
func hubData(b []byte, number int64) []byte {
	b = append(b, hubPrefix...)
	b = strconv.AppendInt(b, number, 10)
	b = append(b, `,"body":"`...)
	for len(b) < eventSize-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

func (p *hubPublisher) publish(_ context.Context, first int64, n int) error {
	if err := p.answered(); err != nil {
		return err
	}
	for i := range int64(n) {
		p.body = hubData(p.body[:0], first+i)
		if _, err := fmt.Fprintf(p.out, "%s%d\r\n\r\n%s", p.head, len(p.body), p.body); err != nil {
			return fmt.Errorf("publish message %d: %w", first+i, err)
		}
	}
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("publish message %d: %w", first, err)
	}
	return nil
}

// answers reads what the server says to each message.
func (p *hubPublisher) answers() {
	in := bufio.NewReader(p.conn)
	for {
		err := answer(in)
		if err == nil {
			continue
		}
		p.mu.Lock()
		if !p.ended {
			p.err = fmt.Errorf("publish: %w", err)
		}
		p.mu.Unlock()
		return
	}
}

func answer(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodPost})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return nil
}

func (p *hubPublisher) answered() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *hubPublisher) close() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	_ = p.conn.Close() // all was sent and has been delivered, or nobody cares
	<-p.done
	return p.err
}

// rowPublisher inserts messages as rows: those of a call are one transaction.
type rowPublisher struct{ conn *pgx.Conn }

// fanoutTable has a row for each message.
const fanoutTable = `create table fanout(seq bigint primary key, body text not null)`

// fanoutChannel is the channel of all rows, fanoutPrefix how the data of one begins, up to its
// number.
const (
	fanoutChannel  = "  fanout:\n    table: public.fanout\n    allow: public\n"
	fanoutPrefix   = `{"channel":"fanout","op":"insert","key":{"seq":`
	fanoutTypical  = fanoutPrefix + `123456},"row":{"seq":123456,"body":""},"tx":{"xid":771,"at":"2026-11-20T21:00:00.123456+00:00"}}`
	fanoutBodySize = eventSize - len(fanoutTypical)
)

// newRowPublisher connects and empties the table. Its commits are synchronous: with
// synchronous_commit off they return before the WAL is written, which the WAL writer then does up
// to 200 ms later, in lumps. Single events would come to walrelay in batches, which flatters its
// events per CPU second, and one who waits for delivery before the next would wait for the WAL
// writer.
func newRowPublisher(ctx context.Context, conn *pgx.Conn) (*rowPublisher, error) {
	if _, err := conn.Exec(ctx, `truncate fanout; set synchronous_commit = on`); err != nil {
		return nil, fmt.Errorf("prepare the publisher: %w", err)
	}
	return &rowPublisher{conn}, nil
}

var fanoutBody = strings.Repeat("x", fanoutBodySize)

func (p *rowPublisher) publish(ctx context.Context, first int64, n int) error {
	if _, err := p.conn.Exec(ctx, `insert into fanout select i, $3 from generate_series($1::bigint, $2::bigint) i`, first, first+int64(n)-1, fanoutBody); err != nil {
		return fmt.Errorf("insert rows %d to %d: %w", first, first+int64(n)-1, err)
	}
	return nil
}

func (p *rowPublisher) close() error { return p.conn.Close(context.Background()) }
