package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// tortureWire is how a subscriber under torture reads.
type tortureWire int

const (
	wireSSE tortureWire = iota
	wireLines
	wirePoll
)

func (w tortureWire) String() string { return [...]string{"sse", "ndjson", "long poll"}[w] }

func (w tortureWire) accept() string {
	return [...]string{"text/event-stream", "application/x-ndjson", "application/json"}[w]
}

// tightSocket leaves little room in the kernel: the buffer is small, and so are the
// segments, because TCP crawls with room for less than a few of them.
func tightSocket(_, _ string, raw syscall.RawConn) error {
	var err error
	control := raw.Control(func(fd uintptr) {
		err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400))
	})
	return errors.Join(control, err)
}

// read makes the request and hands out the frames until the connection ends.
func (c *call) read(ctx context.Context) error {
	dialer := net.Dialer{Timeout: patience}
	if c.s.kind == stalling {
		dialer.Control = tightSocket
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, c.request()); err != nil {
		return err
	}
	in := &sufferingReader{conn: conn, left: c.v.limit, call: c, ctx: ctx, stallAt: c.v.stallAt}
	resp, err := http.ReadResponse(bufio.NewReader(in), nil)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		return errors.New(resp.Status)
	default:
		body, _ := io.ReadAll(resp.Body) // for the message only
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.s.fail("got %s %s", resp.Status, body)
		return c.s.err
	}
	switch c.s.wire {
	case wireLines:
		return c.lines(resp.Body)
	case wirePoll:
		return c.answer(resp.Body)
	}
	return parseSSE(resp.Body, c.id, c.frame)
}

func (c *call) request() string {
	target, header := c.s.path, ""
	add := func(parameter string) {
		sep := "?"
		if strings.Contains(target, "?") {
			sep = "&"
		}
		target += sep + parameter
	}
	if c.s.wire == wirePoll {
		add("wait=1s")
	}
	switch {
	case c.id == "":
	case c.v.inQuery:
		add("last_event_id=" + c.id)
	default:
		header = "Last-Event-ID: " + c.id + "\r\n"
	}
	return "GET " + target + " HTTP/1.1\r\nHost: walrelay\r\nAccept: " + c.s.wire.accept() + "\r\n" + header + "\r\n"
}

// lines reads ndjson. A line without its end is one that was cut off.
func (c *call) lines(body io.Reader) error {
	for in := bufio.NewReader(body); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		f, err := frameOfLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return c.nonsense(err)
		}
		c.frame(f)
	}
}

// answer reads a long poll's; one that was cut off counts for nothing.
func (c *call) answer(body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var a struct {
		Events      []json.RawMessage
		LastEventID string `json:"last_event_id"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return c.nonsense(fmt.Errorf("%w: %.200s", err, text))
	}
	c.s.mu.Lock()
	c.s.resumed++ // it says nothing of its own
	c.s.mu.Unlock()
	for _, line := range a.Events {
		f, err := frameOfLine(string(line))
		if err != nil {
			return c.nonsense(err)
		}
		c.frame(f)
	}
	if a.LastEventID != "" {
		c.frame(frame{id: a.LastEventID, hasID: true})
	}
	return io.EOF
}

// nonsense notes what no walrelay should send.
func (c *call) nonsense(err error) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.fail("got what is no event: %v", err)
	return err
}

// frameOfLine makes a frame of {"event":"insert","id":"…",…}, whose rest is what the
// frame has as its data.
func frameOfLine(line string) (f frame, err error) {
	rest, ok := strings.CutPrefix(line, `{"event":"`)
	if f.event, rest, ok = cutIf(ok, rest, `"`); !ok {
		return f, fmt.Errorf("line %.200q", line)
	}
	if id, found := strings.CutPrefix(rest, `,"id":"`); found {
		if f.id, rest, ok = cutIf(true, id, `"`); !ok {
			return f, fmt.Errorf("line %.200q", line)
		}
		f.hasID = true
	}
	if f.event == "heartbeat" {
		return frame{id: f.id, hasID: f.hasID}, nil
	}
	data, ok := strings.CutPrefix(rest, ",")
	if f.data, f.hasData = "{"+data, true; !ok {
		return f, fmt.Errorf("line %.200q", line)
	}
	return f, nil
}

func cutIf(ok bool, s, sep string) (before, after string, found bool) {
	if !ok {
		return "", s, false
	}
	return strings.Cut(s, sep)
}

// sufferingReader reads from a connection until its bytes are used up, and stalls on
// the way.
type sufferingReader struct {
	conn    net.Conn
	call    *call
	ctx     context.Context
	left    int
	stallAt int // bytes; negative: does not
}

func (r *sufferingReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errCut
	}
	if r.stallAt == 0 {
		r.stallAt = -1
		r.call.s.t.tally().stalls.Add(1)
		r.call.s.t.weather.wait(r.ctx, r.call.v.stallFor)
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	most := min(len(p), r.left)
	if r.stallAt > 0 {
		most = min(most, r.stallAt)
	}
	n, err := r.conn.Read(p[:most])
	r.left -= n
	if r.stallAt > 0 {
		r.stallAt -= n
	}
	return n, err
}
