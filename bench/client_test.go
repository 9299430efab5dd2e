package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// response is walrelay's answer with these chunks.
func response(chunks ...string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	return b.String()
}

func readyFrame(resumed bool, id string) string {
	return fmt.Sprintf("event: ready\ndata: {\"resumed\":%t,\"channels\":[\"user/7\"],\"position\":\"0/100\"}\nid: %s\n\n", resumed, id)
}

func rowFrame(n int, id string) string {
	return fmt.Sprintf("event: insert\ndata: {\"channel\":\"user/7\",\"op\":\"insert\",\"key\":{\"user_id\":7,\"n\":%d},\"row\":{}}\nid: %s\n\n", n, id)
}

// A client reads the same from pieces of every size, wherever the chunks end.
func TestClientPieces(t *testing.T) {
	stream := "retry: 2000\n\n" + readyFrame(false, "0/FF.0.k7x2mq") + rowFrame(1, "0/100.0.k7x2mq") + rowFrame(2, "0/100.11.k7x2mq") + "id: 1/0.0.k7x2mq\n\n" + rowFrame(3, "1/A0.2.k7x2mq")
	for cut := range len(stream) {
		chunks := []string{stream[:cut], stream[cut:]}
		if cut == 0 { // an empty chunk would end the stream
			chunks = chunks[1:]
		}
		in := []byte(response(chunks...))
		for _, size := range []int{1, 2, 7, len(in)} {
			c := newClient("user/7", feedPrefix(7))
			c.begin("h")
			c.goal, c.late = 3, true
			var arrivedAt []int64
			for p := in; len(p) > 0; p = p[min(size, len(p)):] {
				if err := c.feed(p[:min(size, len(p))]); err != nil {
					t.Fatalf("cut at %d, pieces of %d: %v", cut, size, err)
				}
				if c.arrived() {
					arrivedAt = append(arrivedAt, c.row)
				}
			}
			if !slices.Equal(arrivedAt, []int64{3}) || string(c.id) != "1/A0.2.k7x2mq" || c.at != (position{1<<32 | 0xA0, 2}) {
				t.Fatalf("cut at %d, pieces of %d: arrived at rows %v, id %s at %v", cut, size, arrivedAt, c.id, c.at)
			}
		}
	}
}

// A frame that was cut off comes again, and the id asked for is that of the last whole
// one.
func TestClientReturns(t *testing.T) {
	const retry = "retry: 2000\n\n"
	frame := rowFrame(2, "0/100.1.k7x2mq")
	for cut := 1; cut < len(frame); cut++ {
		c := newClient("user/7", feedPrefix(7))
		if req := string(c.begin("h")); strings.Contains(req, "Last-Event-ID") {
			t.Fatalf("first request %q", req)
		}
		if err := c.feed([]byte(response(retry+readyFrame(false, "0/FF.0.k7x2mq")+rowFrame(1, "0/100.0.k7x2mq"), frame[:cut]))); err != nil {
			t.Fatal(err)
		}
		if req := string(c.begin("h")); !strings.Contains(req, "\r\nLast-Event-ID: 0/100.0.k7x2mq\r\n") {
			t.Fatalf("second request %q", req)
		}
		if c.live || c.row != 1 {
			t.Fatalf("cut at %d: live %t, row %d before the second answer", cut, c.live, c.row)
		}
		if err := c.feed([]byte(response(retry + readyFrame(true, "0/100.0.k7x2mq") + frame))); err != nil || !c.live || c.row != 2 {
			t.Fatalf("cut at %d: live %t, row %d, %v", cut, c.live, c.row, err)
		}
	}
}

// Whatever is not exact is an error.
func TestClientChecks(t *testing.T) {
	for name, test := range map[string]struct{ events, want string }{
		"duplicate":     {rowFrame(5, "0/100.1.k7x2mq"), "row 5 after row 5"},
		"gap":           {rowFrame(7, "0/100.1.k7x2mq"), "row 7 after row 5"},
		"same id":       {rowFrame(6, "0/100.0.k7x2mq"), "not above"},
		"no id":         {strings.Replace(rowFrame(6, ""), "id: \n", "", 1), "not above"},
		"id goes back":  {rowFrame(6, "0/FF.9.k7x2mq"), "is behind"},
		"heartbeat":     {"id: 0/FF.9.k7x2mq\n\n", "is behind"},
		"bad id":        {rowFrame(6, "nonsense"), "not of the form"},
		"another's row": {strings.ReplaceAll(rowFrame(6, "0/100.1.k7x2mq"), "user/7", "user/77"), "no row of user/7"},
		"reset":         {"event: reset\ndata: {\"reason\":\"gap\"}\n\n", "event reset"},
		"end":           {"event: end\ndata: {\"reason\":\"draining\"}\n\n", "event end"},
		"not resumed":   {readyFrame(false, "0/100.0.k7x2mq"), "asked to resume: true"},
		"delete":        {strings.ReplaceAll(rowFrame(6, "0/100.1.k7x2mq"), "insert", "delete"), "event delete"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient("user/7", feedPrefix(7))
			c.row, c.id, c.at = 5, []byte("0/100.0.k7x2mq"), position{0x100, 0}
			c.begin("h")
			if err := c.feed([]byte(response(test.events))); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	c := newClient("user/7", feedPrefix(7))
	c.begin("h")
	if err := c.feed([]byte("HTTP/1.1 429 Too Many Requests\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("refused: %v", err)
	}
	c.begin("h")
	if err := c.feed([]byte(response("retry: 1\n\n") + "0\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("ended: %v", err)
	}
}
