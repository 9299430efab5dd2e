package shop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eventStream answers /events: each connection is handed to the test, which decides
// what is sent.
type eventStream struct {
	t      *testing.T
	store  *store
	opened chan *connection
	// missing makes it answer 404; refused counts those answers.
	missing atomic.Bool
	refused atomic.Int64
}

// connection is one EventSource's. Its methods are called by the test.
type connection struct {
	events  *eventStream
	request *http.Request
	frames  chan string
	once    sync.Once
	last    string // the last id sent
}

func (s *eventStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.missing.Load() {
		http.NotFound(w, r)
		s.refused.Add(1)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "retry: 300\n\n")
	flush := w.(http.Flusher).Flush
	flush()
	c := &connection{events: s, request: r, frames: make(chan string, 100)}
	select {
	case s.opened <- c:
	case <-r.Context().Done():
		return
	}
	for {
		select {
		case frame, open := <-c.frames:
			if !open {
				return
			}
			fmt.Fprint(w, frame)
			flush()
		case <-r.Context().Done():
			return
		}
	}
}

// next is the next connection.
func (s *eventStream) next(t *testing.T) *connection {
	t.Helper()
	select {
	case c := <-s.opened:
		return c
	case <-time.After(patience):
		t.Fatal("the page does not open a stream")
		return nil
	}
}

// lsn is a position behind every commit that has returned.
func (s *eventStream) lsn(t *testing.T) string {
	t.Helper()
	var lsn string
	if err := s.store.pool.QueryRow(t.Context(), `select pg_current_wal_insert_lsn()::text`).Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	return lsn
}

// end closes the connection.
func (c *connection) end() { c.once.Do(func() { close(c.frames) }) }

func (c *connection) send(event, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		c.events.t.Error(err)
	}
	c.last = id
	c.frames <- fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", id, event, text)
}

func (c *connection) ready(resumed bool, id string) {
	c.send("ready", id, map[string]any{"resumed": resumed, "channels": []string{"couriers", "customers", "orders"}, "position": id})
}

// change sends what the database now holds as an event that was committed a moment
// ago.
func (c *connection) change(op, table string, id int64) {
	event := map[string]any{"channel": table, "op": op, "key": map[string]int64{"id": id},
		"tx": map[string]any{"xid": 1, "at": time.Now().Add(-time.Second).UTC().Format("2006-01-02T15:04:05.000000-07:00")}}
	if op != "delete" {
		event["row"] = c.events.rowOf(c.events.t, table, id)
	}
	c.send(op, c.events.lsn(c.events.t)+".0.aaaaaa", event)
}
