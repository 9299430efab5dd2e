package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// rawClient asks for event streams on bare TCP connections, which it can cut at
// any byte. For one goroutine.
type rawClient struct {
	address string // host:port
	path    string // with the query
}

func newRawClient(url string) *rawClient {
	address, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return &rawClient{address: address, path: "/" + path}
}

// unlimited bytes to read.
const unlimited = 1 << 62

var errCut = errors.New("cut off by the client")

// read makes one request and hands out every frame that arrived whole within the
// first limit bytes of the connection, headers included, until each returns false.
// The error is errCut for the client's own cut, nil if the server ended the
// stream.
func (c *rawClient) read(ctx context.Context, lastID string, limit int, each func(frame) bool) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request := "GET " + c.path + " HTTP/1.1\r\nHost: " + c.address + "\r\nAccept: text/event-stream\r\n"
	if lastID != "" {
		request += "Last-Event-ID: " + lastID + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	in := &cutReader{conn: conn, left: limit}
	resp, err := http.ReadResponse(bufio.NewReader(in), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body) // for the message only
		return fmt.Errorf("GET %s: %s %s", c.path, resp.Status, body)
	}
	stopped := false
	err = parseSSE(resp.Body, lastID, func(f frame) {
		if !stopped && !each(f) {
			stopped = true
			conn.Close()
		}
	})
	if stopped {
		return errCut
	}
	return err
}

// cutReader reads from a connection until its bytes are used up.
type cutReader struct {
	conn net.Conn
	left int
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errCut
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	n, err := r.conn.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
