package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// client reads one response of walrelay or a peer, an SSE stream in HTTP/1.1 chunks or
// without, from pieces cut anywhere, and checks it: rows numbered without a gap, ids that
// rise, no other events. Unlike a browser it reads no JSON and keeps no event.
//
// What it knows, row and id, outlives its connections; what it was reading does not.
type client struct {
	dialect
	channel string
	// prefix is how the data of each of its rows begins, up to the row's number.
	prefix []byte
	// user is whose rows those are.
	user int
	// cookie is sent with each request, or empty.
	cookie string
	// anyRow: the stream begins now, so that its first row may have any number.
	anyRow bool

	// row is the number of the last row that was dispatched.
	row int64
	// id is the last event id, at its position.
	id []byte
	at position

	// clock, where it is set, is when the times of rows count from: seen has them then, of all
	// rows since.
	clock time.Time
	seen  []time.Duration

	// resumes: the request named an id. live: ready has come.
	resumes, live bool

	// goal is the row up to which the client is late, late that it is not there yet.
	goal int64
	late bool

	state      byte
	http, body lines
	chunked    bool
	chunk      int // bytes of the chunk still to come
	frame      frame
}

// dialect is what a server does in its own way.
type dialect struct {
	// path is what is asked for.
	path string
	// event is the name of rows, position reads an id.
	event    string
	position func(id []byte) (position, error)
	// saysReady: the stream is live with its ready event, which says whether it resumes; else
	// with the head of the answer.
	saysReady bool
}

// position is that of an event id.
type position struct{ commit, index uint64 }

func (p position) less(q position) bool {
	return p.commit < q.commit || p.commit == q.commit && p.index < q.index
}

// frame is the event that is being read.
type frame struct {
	event, data, id []byte
	row             int64 // 0 unless data is a row of the client's channel
}

// Where in the response a client is.
const (
	inStatus = iota
	inHead
	inSize
	inChunk
	inBody // without chunks
)

func newClient(channel, prefix string) *client {
	d := dialect{path: "/events/" + channel, event: "insert", position: parsePosition, saysReady: true}
	return &client{dialect: d, channel: channel, prefix: []byte(prefix)}
}

// begin forgets what was being read and gives the request of the next connection.
func (c *client) begin(host string) []byte {
	c.state, c.chunked, c.chunk, c.live, c.resumes = inStatus, false, 0, false, len(c.id) > 0
	c.http.part, c.body.part = c.http.part[:0], c.body.part[:0]
	c.frame.clear()
	req := "GET " + c.path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: text/event-stream\r\nCache-Control: no-store\r\n"
	if c.resumes {
		req += "Last-Event-ID: " + string(c.id) + "\r\n"
	}
	if c.cookie != "" {
		req += "Cookie: " + c.cookie + "\r\n"
	}
	return []byte(req + "\r\n")
}

// arrived reports whether the client has ceased to be late.
func (c *client) arrived() bool {
	if !c.late || !c.live || c.row < c.goal {
		return false
	}
	c.late = false
	return true
}

// feed reads the next piece of the response.
func (c *client) feed(p []byte) error {
	for len(p) > 0 {
		if c.state == inBody {
			return c.lines(p)
		}
		if c.state == inChunk {
			n := min(len(p), c.chunk)
			if err := c.lines(p[:n]); err != nil {
				return err
			}
			p, c.chunk = p[n:], c.chunk-n
			if c.chunk == 0 {
				c.state = inSize
			}
			continue
		}
		line, rest, ok := c.http.next(p)
		if !ok {
			return nil
		}
		p = rest
		if err := c.header(line); err != nil {
			return err
		}
	}
	return nil
}

// header reads a line of HTTP.
func (c *client) header(line []byte) error {
	switch c.state {
	case inStatus:
		if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer %q", line)
		}
		c.state = inHead
	case inHead:
		c.head(line)
	case inSize:
		if len(line) == 0 { // the end of the chunk before
			return nil
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %q: %w", line, err)
		}
		if n == 0 {
			return errors.New("the stream has ended")
		}
		c.chunk, c.state = int(n), inChunk
	}
	return nil
}

// head reads a line of the answer's head, or its end, which is empty.
func (c *client) head(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		c.chunked = bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
	case len(line) == 0:
		c.live = c.live || !c.saysReady
		if c.state = inBody; c.chunked {
			c.state = inSize
		}
	}
}

// lines reads a piece of the event stream.
func (c *client) lines(p []byte) error {
	for {
		line, rest, ok := c.body.next(p)
		if !ok {
			return nil
		}
		p = rest
		if len(line) == 0 {
			if err := c.dispatch(); err != nil {
				return err
			}
			c.frame.clear()
			continue
		}
		c.frame.field(line, c.prefix)
	}
}

func (f *frame) clear() { f.event, f.data, f.id, f.row = f.event[:0], f.data[:0], f.id[:0], 0 }

// field reads a line of an event. The data of rows is not kept.
func (f *frame) field(line, prefix []byte) {
	name, value, _ := bytes.Cut(line, []byte(": "))
	switch string(name) {
	case "event":
		f.event = append(f.event[:0], value...)
	case "id":
		f.id = append(f.id[:0], value...)
	case "data":
		rest, ok := bytes.CutPrefix(value, prefix)
		if !ok {
			f.data = append(f.data[:0], value...)
			return
		}
		f.row, _ = number(rest, 10)
	}
}

// dispatch takes in the event that has been read.
func (c *client) dispatch() error {
	f, was := &c.frame, c.at
	if len(f.id) > 0 {
		at, err := c.position(f.id)
		if err != nil {
			return err
		}
		c.at, c.id = at, append(c.id[:0], f.id...)
	}
	if c.at.less(was) {
		return fmt.Errorf("event %q has id %q, which is behind %v", f.event, f.id, was)
	}
	switch name := string(f.event); {
	case name == c.event && (name != "" || f.row > 0 || len(f.data) > 0):
		return c.insert(was)
	case name == "ready" && c.saysReady:
		if c.resumes != bytes.Contains(f.data, []byte(`"resumed":true`)) {
			return fmt.Errorf("ready %s (asked to resume: %t)", f.data, c.resumes)
		}
		c.live = true
	case name == "": // retry, or a heartbeat
	default:
		return &otherEvent{string(f.event), string(f.data)}
	}
	return nil
}

// otherEvent is an event that a client does not expect.
type otherEvent struct{ name, data string }

func (e *otherEvent) Error() string { return fmt.Sprintf("event %s %s", e.name, e.data) }

// insert takes in a row. Rows of a transaction have one commit LSN and rising indices.
func (c *client) insert(was position) error {
	switch f := &c.frame; {
	case f.row == 0:
		return fmt.Errorf("data that is no row of %s: %s", c.channel, f.data)
	case f.row != c.row+1 && !c.anyRow:
		return fmt.Errorf("row %d after row %d, id %q", f.row, c.row, f.id)
	case !was.less(c.at):
		return fmt.Errorf("row %d has id %q, which is not above %v", f.row, f.id, was)
	}
	c.row, c.anyRow = c.frame.row, false
	if !c.clock.IsZero() {
		c.seen = append(c.seen, time.Since(c.clock))
	}
	return nil
}

// parsePosition reads the beginning of an id: 0/16B3748.3.k7x2mq.
func parsePosition(id []byte) (position, error) {
	high, n := number(id, 16)
	if n > 0 && n+1 < len(id) && id[n] == '/' {
		low, m := number(id[n+1:], 16)
		if n += 1 + m; m > 0 && n+1 < len(id) && id[n] == '.' {
			index, k := number(id[n+1:], 10)
			if k > 0 {
				return position{uint64(high)<<32 | uint64(low), uint64(index)}, nil
			}
		}
	}
	return position{}, fmt.Errorf("id %q is not of the form 0/16B3748.3.k7x2mq", id)
}

// number reads digits at the beginning of p and says how many there are.
func number(p []byte, base int64) (v int64, n int) {
	for ; n < len(p); n++ {
		d := int64(p[n] - '0')
		if p[n] >= 'A' && p[n] <= 'F' {
			d = int64(p[n]-'A') + 10
		} else if p[n] < '0' || p[n] > '9' {
			return v, n
		}
		if d >= base {
			return v, n
		}
		v = v*base + d
	}
	return v, n
}

// lines cuts pieces into lines. part is what it holds of an unfinished one.
type lines struct{ part []byte }

// next gives the first line of p, without its end, and what follows it. The line is
// valid until the next call.
func (l *lines) next(p []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		l.part = append(l.part, p...)
		return nil, nil, false
	}
	line, rest = p[:i], p[i+1:]
	if len(l.part) > 0 {
		l.part = append(l.part, line...)
		line, l.part = l.part, l.part[:0]
	}
	return bytes.TrimSuffix(line, []byte("\r")), rest, true
}
