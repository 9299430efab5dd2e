package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakes are a shop and a stream that follow a script: each connection is a list of
// lines, after which it ends; the last one stays open.
type fakes struct {
	mu      sync.Mutex
	rows    map[string]any
	streams [][]string
	ids     []string // Last-Event-ID of each connection
}

func (f *fakes) shop(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(f.rows) // a client that is gone is its own trouble
}

func (f *fakes) events(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.ids = append(f.ids, r.Header.Get("Last-Event-ID"))
	n := len(f.ids) - 1
	var lines []string
	if n < len(f.streams) {
		lines = f.streams[n]
	}
	last := n >= len(f.streams)-1
	f.mu.Unlock()
	_, _ = io.WriteString(w, strings.Join(append(lines, ""), "\n"))
	w.(http.Flusher).Flush()
	if last {
		<-r.Context().Done()
	}
}

const soon = `"tx":{"xid":1,"at":"2020-01-01T00:00:00.000000+00:00"}`

func update(id string, key, total int) string {
	if id != "" {
		id = fmt.Sprintf(`"id":"%s.aaaaaa",`, id)
	}
	return fmt.Sprintf(`{"event":"update",%s"channel":"orders","op":"update","key":{"id":%d},"row":{"id":%d,"total":%d},%s}`, id, key, key, total, soon)
}

func ready(id string, resumed bool) string {
	return fmt.Sprintf(`{"event":"ready","id":"%s.aaaaaa","resumed":%t,"channels":["orders"],"position":"0/1"}`, id, resumed)
}

// shopRows is the answer of a shop with these orders.
func shopRows(lsn string, totals ...int) map[string]any {
	var orders []map[string]int
	for i, total := range totals {
		orders = append(orders, map[string]int{"id": i + 1, "total": total})
	}
	return map[string]any{"lsn": lsn, "orders": orders, "customers": []int{}, "couriers": []int{}}
}

// followTo runs a tail over the fakes until so is true of it, and gives what it wrote.
func (f *fakes) followTo(t *testing.T, so func(*tail) bool) (*tail, string) {
	t.Helper()
	shop := httptest.NewServer(http.HandlerFunc(f.shop))
	defer shop.Close()
	stream := httptest.NewServer(http.HandlerFunc(f.events))
	defer stream.Close()
	var out lockedBuffer
	tail := newTail(addresses{page: strings.TrimPrefix(stream.URL, "http://"), shop: strings.TrimPrefix(shop.URL, "http://")}, &screen{out: &out})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tail.follow(ctx) }()
	for end := time.Now().Add(10 * time.Second); !so(tail); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain; output:\n%s", out.String())
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return tail, out.String()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTailResumes is cut between two events of one position: the first of them comes
// again and is shown once.
func TestTailResumes(t *testing.T) {
	f := &fakes{rows: shopRows("0/10", 1, 1, 1), streams: [][]string{
		{ready("0/10.0", true), update("0/20.0", 1, 5), update("", 2, 6)},
		{ready("0/20.0", true), update("", 2, 6), update("0/30.1", 3, 7), `{"event":"heartbeat","id":"0/40.0.aaaaaa"}`},
	}}
	first := true
	tail, out := f.followTo(t, func(tail *tail) bool {
		shown, _ := tail.account()
		if first && shown > 0 {
			f.mu.Lock()
			f.rows, first = shopRows("0/40", 5, 6, 7), false
			f.mu.Unlock()
		}
		return strings.Contains(tail.screen.out.(*lockedBuffer).String(), "nothing lost")
	})
	if shown, wrong := tail.account(); shown != 3 || wrong != nil {
		t.Errorf("%d events shown, %v", shown, wrong)
	}
	if got, want := fmt.Sprint(f.ids), "[0/10 0/20.0.aaaaaa]"; got != want {
		t.Errorf("ids %s, want %s", got, want)
	}
	for _, want := range []string{
		"0/20.0        update  orders #1       total 1 → 5\n", "0/30.1        update  orders #2       total 1 → 6\n", "connection lost, waiting…\n",
		"── resumed at 0/20.0 after 0.2 s: 2 events caught up, nothing lost (3 orders, 0 customers, 0 couriers equal the database's)\n",
	} {
		if strings.Count(out, want) != 1 {
			t.Errorf("output has not %q once:\n%s", want, out)
		}
	}
}

func TestTailNoticesDuplicates(t *testing.T) {
	for name, second := range map[string]string{"same": "0/20.3", "older": "0/20.1", "no position": "x"} {
		t.Run(name, func(t *testing.T) {
			f := &fakes{rows: shopRows("0/10", 1), streams: [][]string{
				{ready("0/10.0", true), update("0/20.3", 1, 5), update(second, 1, 6), update("0/30.0", 1, 7)},
			}}
			tail, _ := f.followTo(t, func(tail *tail) bool { shown, _ := tail.account(); return shown == 3 })
			if _, wrong := tail.account(); wrong == nil || !strings.Contains(wrong.Error(), second) {
				t.Errorf("error %v, want one about %s", wrong, second)
			}
		})
	}
}

func TestTailResets(t *testing.T) {
	f := &fakes{rows: shopRows("0/90", 8, 9), streams: [][]string{
		{ready("0/10.0", false), `{"event":"reset","id":"0/90.0.aaaaaa","channel":"orders","reason":"expired"}`, update("0/91.0", 1, 7)},
	}}
	tail, out := f.followTo(t, func(tail *tail) bool { shown, _ := tail.account(); return shown == 1 })
	want := newTables()
	want.put("orders", []*row{parseRow(t, `{"id":1,"total":7}`), parseRow(t, `{"id":2,"total":9}`)})
	if !tail.holds(want) || !strings.Contains(out, "reset of orders (expired)") || !strings.Contains(out, "total 8 → 7") {
		t.Errorf("rows %v, output:\n%s", tail.rows, out)
	}
}

// TestTailGivesUp gets an answer that will not change.
func TestTailGivesUp(t *testing.T) {
	shopServer := httptest.NewServer(http.HandlerFunc((&fakes{rows: shopRows("0/10")}).shop))
	defer shopServer.Close()
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"unknown_channel"}`, http.StatusNotFound)
	}))
	defer stream.Close()
	tail := newTail(addresses{page: strings.TrimPrefix(stream.URL, "http://"), shop: strings.TrimPrefix(shopServer.URL, "http://")}, &screen{out: io.Discard})
	if err := tail.follow(t.Context()); err == nil || !strings.Contains(err.Error(), "status 404") || !strings.Contains(err.Error(), "unknown_channel") {
		t.Errorf("error %v, want the answer", err)
	}
}
