package httpapi

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// quietTime is how long the log says nothing of a cause that it has just told.
	quietTime = time.Minute
	// maxCauses bounds the causes that are told apart: some name a port, which is never the same.
	maxCauses = 64
)

// quiet keeps what fails for every request from filling the log. The zero value is ready; safe for
// concurrent use.
type quiet struct {
	mu sync.Mutex
	// told has the causes of the last quietTime. Invariant: at most maxCauses and the one of all others.
	told map[string]*told
}

type told struct {
	at time.Time
	// since then so many were not told.
	more int
}

// due reports whether a cause is to be told at now, and how often it has come since the last time.
func (q *quiet) due(cause string, now time.Time) (more int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.told == nil {
		q.told = map[string]*told{}
	}
	if q.told[cause] == nil && len(q.told) >= maxCauses {
		q.forget(now)
		if len(q.told) >= maxCauses {
			cause = "" // one of many
		}
	}
	t := q.told[cause]
	if t != nil && now.Sub(t.at) < quietTime {
		t.more++
		return 0, false
	}
	if t != nil {
		more = t.more
	}
	q.told[cause] = &told{at: now}
	return more, true
}

// forget drops what was told long ago.
func (q *quiet) forget(now time.Time) {
	for cause, t := range q.told {
		if now.Sub(t.at) >= quietTime {
			delete(q.told, cause)
		}
	}
}

// tell logs a refusal that is nobody's mistake, once a cause and quietTime.
func (s *Server) tell(e *refusal) {
	level, text, key := slog.LevelWarn, "it cannot be found out who is signed in: clients are told to come back", e.code
	attrs := make([]slog.Attr, 0, 2)
	switch {
	case e.code == codeLimit:
		text = "a limit is reached: clients are told to come back"
		attrs = append(attrs, slog.String("limit", e.message))
	case e.cause == nil:
		return
	case e.code == codeInternal:
		level, text = slog.LevelError, "request failed"
		fallthrough
	default:
		key += " " + e.cause.Error()
		attrs = append(attrs, slog.Any("cause", e.cause))
	}
	more, due := s.refused.due(key, time.Now())
	if !due {
		return
	}
	if more > 0 {
		attrs = append(attrs, slog.Int("not_logged", more))
	}
	s.log.LogAttrs(context.Background(), level, text, attrs...)
}
