package main

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

// TestSessionStream: a stream is fine that is silent until its logout and ends then.
func TestSessionStream(t *testing.T) {
	const end = "retry: 1000\nevent: end\ndata: {\"reason\":\"signed_out\"}\n\n"
	for _, tt := range []struct {
		name, begins, goes string
		expected           bool
		wrong              string // part of the error
	}{
		{"signed out", readyFrame(false, "0/1.0.aaaaaa"), end, true, ""},
		{"heartbeats", readyFrame(false, "0/1.0.aaaaaa"), "id: 0/2.0.aaaaaa\n\n" + end, true, ""},
		{"ended without a logout", readyFrame(false, "0/1.0.aaaaaa"), end, false, "signed_out"},
		{"ended for another reason", readyFrame(false, "0/1.0.aaaaaa"), strings.ReplaceAll(end, "signed_out", "unavailable"), true, "unavailable"},
		{"a row", readyFrame(false, "0/1.0.aaaaaa"), rowFrame(1, "0/2.0.aaaaaa") + end, true, "committed after the logout"},
		{"cut off", readyFrame(false, "0/1.0.aaaaaa"), "", true, "EOF"},
		{"not admitted", end, "", true, `stream said "event: end`},
	} {
		ours, theirs := net.Pipe()
		s := &sessionStream{user: 7, conn: ours, done: make(chan struct{})}
		s.expected.Store(tt.expected)
		go func() {
			defer theirs.Close()
			if _, err := bufio.NewReader(theirs).ReadString('\n'); err != nil {
				t.Error(err)
			}
			_, _ = theirs.Write([]byte(response("retry: 2000\n\n", tt.begins, tt.goes))) // it may read no further
		}()
		in := bufio.NewReader(ours)
		err := s.begin("host", in)
		if err == nil {
			s.run(in)
			err = s.err
		}
		ours.Close()
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.wrong)
		}
	}
}
