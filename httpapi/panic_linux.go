package httpapi

import (
	"fmt"
	"runtime/debug"
	"time"
)

// survives calls f and reports whether it came to its end. A panic in it costs the connection at hand
// its stream, and nobody else anything: who caused it comes back, as after any cut.
//
// There is one such call for all connections, none for each.
func (s *shard) survives(f func()) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.report(cause, debug.Stack())
			s.abandon(s.current)
		}
	}()
	f()
	return true
}

// report logs a panic, once a cause and quietTime.
func (s *shard) report(cause any, stack []byte) {
	text := fmt.Sprint(cause)
	more, due := s.panics.due(text, time.Now())
	if !due {
		return
	}
	s.log.Error("a stream is cut off: panic in a writer shard", "cause", text, "stack", string(stack), "not_logged", more, "fix", "please report this as a bug")
}

// abandon drops a connection that could not be served. What it left in memory that others use is not
// trusted.
func (s *shard) abandon(c *conn) {
	s.current, s.scratch = nil, scratch{}
	if c == nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil { // its own end fails too; the socket is closed
			s.report(cause, debug.Stack())
		}
	}()
	s.drop(c, codeInternal)
}
