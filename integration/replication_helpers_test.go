package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// story turns events into lines that are easy to compare:
//
//	1.0 notes insert {"id":1} {"id":1,"body":"a"}
//	-   notes delete {"id":1}
//	2.3 notes insert {"id":2} {"id":2} unchanged ["body"]
//	3.0 notes reset truncate
//	3.1 notes message {"any":"JSON"}
//
// First stands the position: the number of the transaction, counted from 1, and
// the index within it, or - where the frame sets no id.
type story struct {
	commits map[change.LSN]int
	lines   []string
}

func newStory() *story { return &story{commits: map[change.LSN]int{}} }

func (s *story) add(t testing.TB, f frame) {
	t.Helper()
	var e struct {
		Channel, Reason                        string
		Key, Row, Unchanged, Missing, Oversize json.RawMessage
		Data                                   json.RawMessage
	}
	f.decode(t, &e)
	line := fmt.Sprintf("%-3s %s %s", s.position(t, f), e.Channel, f.event)
	if e.Reason != "" {
		line += " " + e.Reason
	}
	for _, part := range []struct {
		name string
		json json.RawMessage
	}{{"", e.Key}, {"", e.Row}, {"unchanged ", e.Unchanged}, {"missing ", e.Missing}, {"oversize ", e.Oversize}, {"", e.Data}} {
		if part.json != nil {
			line += " " + part.name + string(part.json)
		}
	}
	s.lines = append(s.lines, line)
}

func (s *story) position(t testing.TB, f frame) string {
	t.Helper()
	if !f.hasID {
		return "-"
	}
	at := positionOf(t, f.id)
	if s.commits[at.Commit] == 0 {
		s.commits[at.Commit] = len(s.commits) + 1
	}
	return fmt.Sprintf("%d.%d", s.commits[at.Commit], at.Index)
}

var endMarks atomic.Int64

// endMark writes a message to a channel, which ends what a test reads.
func endMark(t testing.TB, db *database, channel string) (mark string) {
	t.Helper()
	mark = fmt.Sprintf(`"end %d"`, endMarks.Add(1))
	db.exec(t, fmt.Sprintf("select pg_logical_emit_message(true, 'walrelay:%s', '%s')", channel, mark))
	return mark
}

// readTo reads up to a mark.
func (s *sse) readTo(t testing.TB, mark string) []string {
	t.Helper()
	story := newStory()
	for {
		f := s.next(t)
		if f.event == "message" && strings.Contains(f.data, `"data":`+mark) {
			return story.lines
		}
		story.add(t, f)
	}
}

// told runs the statements, each string a transaction of its own, and gives the
// events that the subscriber gets of them. channel is any of its channels.
func (s *sse) told(t testing.TB, db *database, channel string, sql ...string) []string {
	t.Helper()
	db.exec(t, sql...)
	return s.readTo(t, endMark(t, db, channel))
}

// wantLines compares stories.
func wantLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

// live subscribes and reads the ready event.
func (r *relay) live(t testing.TB, channels ...string) *sse {
	t.Helper()
	s := openSSE(t, r.streamURL(channels...), nil)
	if f := s.next(t); f.event != "ready" {
		t.Fatalf("got %s %s instead of ready", f.event, f.data)
	}
	return s
}

// resumed subscribes at an id and reads the ready event, which must say that the
// stream goes on there.
func (r *relay) resumed(t testing.TB, id string, channels ...string) *sse {
	t.Helper()
	s := openSSE(t, r.streamURL(channels...), http.Header{"Last-Event-Id": {id}})
	s.wantResumed(t)
	return s
}

func (s *sse) wantResumed(t testing.TB) {
	t.Helper()
	f := s.next(t)
	if f.event != "ready" || !strings.Contains(f.data, `"resumed":true`) {
		t.Fatalf("got %s %s instead of ready with resumed", f.event, f.data)
	}
}

// publicTables is a configuration with a channel of the same name for each table.
func publicTables(names ...string) string {
	var b strings.Builder
	b.WriteString("channels:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  %s: {table: public.%s, allow: public}\n", name, name)
	}
	return b.String()
}

// eventually waits until ok gives "", or fails with what it gave last.
func eventually(t testing.TB, ok func() string) {
	t.Helper()
	why := ok()
	for deadline := time.Now().Add(patience); why != "" && time.Now().Before(deadline); why = ok() {
		time.Sleep(10 * time.Millisecond)
	}
	if why != "" {
		t.Fatalf("after %v: %s", patience, why)
	}
}

// confirmed is the slot's confirmed_flush_lsn.
func (d *database) confirmed(t testing.TB) change.LSN {
	t.Helper()
	lsn, err := change.ParseLSN(d.value(t, "select confirmed_flush_lsn from pg_replication_slots where slot_name = $1", d.name))
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}
