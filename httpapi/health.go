package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/walrelay/walrelay/eventlog"
)

// Reason is why walrelay is not ready: which check says so, and what to do.
type Reason struct {
	Check   string `json:"check"`
	Message string `json:"message"`
}

// Check looks at one part of the daemon and returns what is wrong with it, nothing
// when all is well. It must not block and is called from several goroutines.
type Check func() []Reason

// logState is the event log in /readyz. Positions are written as event ids without
// view tag.
type logState struct {
	Floor      string     `json:"floor"`
	Last       string     `json:"last"`
	WAL        string     `json:"wal"`
	Durable    string     `json:"durable"`
	Bytes      int64      `json:"bytes"`
	Batches    int64      `json:"batches"`
	OldestTime *time.Time `json:"oldest_time,omitempty"`
	// Lineage of the log.
	Lineage eventlog.Lineage `json:"lineage"`
}

func newLogState(b eventlog.Bounds) *logState {
	out := &logState{Floor: b.Floor.String(), Last: b.Last.String(), WAL: b.WAL.String(), Durable: b.Durable.String(),
		Bytes: b.Bytes, Batches: b.Batches, Lineage: b.Lineage}
	if !b.OldestTime.IsZero() {
		out.OldestTime = &b.OldestTime
	}
	return out
}

// readiness is the body of /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Reasons is never null.
	Reasons []Reason  `json:"reasons"`
	Log     *logState `json:"log,omitempty"`
	Slot    any       `json:"slot,omitempty"`
}

// readiness asks every check.
func (s *Server) readiness() readiness {
	out := readiness{Reasons: []Reason{}}
	for _, check := range s.opt.Admin.Checks {
		out.Reasons = append(out.Reasons, check()...)
	}
	select {
	case <-s.streams.ctx.Done():
		out.Reasons = append(out.Reasons, Reason{Check: "http", Message: "walrelay is shutting down"})
	default:
	}
	out.Ready = len(out.Reasons) == 0
	if s.opt.Admin.Log != nil {
		out.Log = newLogState(s.opt.Admin.Log())
	}
	if s.opt.Admin.Slot != nil {
		out.Slot = s.opt.Admin.Slot()
	}
	return out
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	state := s.readiness()
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	s.writeJSON(w, status, state)
}

// healthz says that the process answers; whether it is of use, readyz says.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := appendPlainJSON(nil, v)
	if err != nil {
		s.log.Error("render answer of the admin listener", "cause", err)
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal","message":"walrelay failed; its log has the cause"}`+"\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("answer not written", "cause", err)
	}
}

// appendPlainJSON appends v as one line, with & < > as they are: people read it.
func appendPlainJSON(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
