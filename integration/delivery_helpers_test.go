package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// settings are the parts of a configuration that delivery tests vary, in YAML's
// flow style and without braces.
type settings struct {
	http, log string
	channels  string // in block style, under channels:
}

// yaml is the whole configuration.
func (s settings) yaml() string {
	more := func(text string) string {
		if text == "" {
			return ""
		}
		return ", " + text
	}
	return `postgres: {url: "${DATABASE_URL}", slot: "${SLOT}", publication: "${PUBLICATION}"}
log: {dir: "${LOG_DIR}"` + more(s.log) + `}
http: {listen: "${HTTP_LISTEN}"` + more(s.http) + `}
admin: {listen: "${ADMIN_LISTEN}"}
channels:
` + s.channels
}

// wireEvent is the data of any event.
type wireEvent struct {
	// Of row events and messages.
	Channel string         `json:"channel"`
	Op      string         `json:"op"`
	Key     map[string]any `json:"key"`
	Row     map[string]any `json:"row"`
	Params  map[string]any `json:"params"`
	Data    any            `json:"data"`
	Tx      struct {
		XID uint32    `json:"xid"`
		At  time.Time `json:"at"`
	} `json:"tx"`
	// Of ready.
	Resumed  bool     `json:"resumed"`
	Channels []string `json:"channels"`
	Position string   `json:"position"`
	// Of reset and end.
	Reason string `json:"reason"`
	// Of lines and long polls, which have no frames around the data.
	Event string `json:"event"`
	ID    string `json:"id"`
}

// eventOf decodes a frame's data.
func eventOf(t testing.TB, f frame) (e wireEvent) {
	t.Helper()
	f.decode(t, &e)
	return e
}

// nextReady is the next frame, which must be ready.
func (s *sse) nextReady(t testing.TB) wireEvent {
	t.Helper()
	f := s.next(t)
	if f.event != "ready" {
		t.Fatalf("%s: got %s %s instead of ready", s.url, f.event, f.data)
	}
	return eventOf(t, f)
}

// wantReset checks that the next events are one reset per channel, of which only
// the last has an id.
func (s *sse) wantReset(t testing.TB, reason string, channels ...string) {
	t.Helper()
	for i, want := range channels {
		f := s.next(t)
		e := eventOf(t, f)
		if f.event != "reset" || e.Reason != reason || e.Channel != want || f.hasID != (i == len(channels)-1) {
			t.Fatalf("got %s %q %s, want reset %s of channel %s", f.event, f.id, f.data, reason, want)
		}
	}
}

// wantRow checks that the next event is about the row with this id in its key.
func (s *sse) wantRow(t testing.TB, event, channel string, id int) wireEvent {
	t.Helper()
	f := s.next(t)
	e := eventOf(t, f)
	if f.event != event || e.Channel != channel || e.Key["id"] != float64(id) {
		t.Fatalf("got %s %s, want %s of %s %d", f.event, f.data, event, channel, id)
	}
	return e
}

// streamURL is where the relay serves these channels on one stream.
func (r *relay) streamURL(channels ...string) string {
	return r.url + "/events?" + url.Values{"channel": channels}.Encode()
}

// resumeAt is the header of a client that comes back.
func resumeAt(id string) http.Header { return http.Header{"Last-Event-Id": {id}} }

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes one request with the harness's client; header may be nil.
func ask(t testing.TB, method, url string, header http.Header) answer {
	t.Helper()
	return askWith(t, client, method, url, header)
}

func askWith(t testing.TB, client *http.Client, method, url string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, url, err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// metric is the sum of a metric's samples; with labels ({reason="view"}) in the
// name it is that one sample, 0 where there is none.
func (r *relay) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	_, text := r.admin(t, "/metrics")
	for line := range strings.Lines(text) {
		sample, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(sample, "{"); !ok || sample != name && bare != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("/metrics: %s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// waitMetric waits until a metric satisfies ok.
func (r *relay) waitMetric(t testing.TB, name string, ok func(float64) bool) {
	t.Helper()
	r.waitMetricFor(t, patience, name, ok)
}

// waitMetricFor is waitMetric for what takes its time.
func (r *relay) waitMetricFor(t testing.TB, long time.Duration, name string, ok func(float64) bool) {
	t.Helper()
	var v float64
	for deadline := time.Now().Add(long); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if v = r.metric(t, name); ok(v) {
			return
		}
	}
	t.Fatalf("%s is %v after %v", name, v, long)
}

// walEnd is the server's current WAL position.
func (d *database) walEnd(t testing.TB) change.LSN {
	t.Helper()
	return lsn(t, d.value(t, "select pg_current_wal_lsn()"))
}

func lsn(t testing.TB, text string) change.LSN {
	t.Helper()
	l, err := change.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// positionOf reads an event id.
func positionOf(t testing.TB, id string) change.Position {
	t.Helper()
	e, err := channel.ParseEventID(id)
	if err != nil {
		t.Fatal(err)
	}
	return e.At
}

// waitComplete reads up to a frame that says that the subscriber is complete up to
// an LSN, and gives the events on the way.
func (s *sse) waitComplete(t testing.TB, upTo change.LSN) (events []frame) {
	t.Helper()
	for {
		f, ok := s.nextFrame(t)
		if !ok {
			t.Fatalf("%s: the stream ended at %s, before %s", s.url, s.lastID, upTo)
		}
		if f.hasData {
			events = append(events, f)
		}
		if f.hasID && !positionOf(t, f.id).Less(change.Before(upTo)) {
			return events
		}
	}
}

// idOf is the number in an event's key.
func idOf(e wireEvent) int {
	id, ok := e.Key["id"].(float64)
	if !ok {
		return -1
	}
	return int(id)
}

func insertItem(id int) string {
	return fmt.Sprintf("insert into items values (%d, 'item %d')", id, id)
}
