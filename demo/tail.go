package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// tail is the terminal's subscriber. It keeps the rows that the events make, as a
// page does.
type tail struct {
	address addresses
	screen  *screen
	lost    time.Time // when the connection ended; zero while there is one
	begun   bool      // the first connection has been there
	lastID  string    // where the next connection goes on
	// untold are the events since the last id: they are shown with the event that has
	// it, because after a cut between them they come again.
	untold []*event

	mu     sync.Mutex
	rows   tables
	at     change.Position // of the last event shown
	shown  int
	wrong  error // the first event that was not behind the one before it
	resume *resume
}

// resume is a return of the connection.
type resume struct {
	id     string
	after  time.Duration
	at     time.Time
	caught int // events committed before at
}

// event is a line of the stream.
type event struct {
	Event   string
	ID      string
	Channel string
	Key     row
	Row     *row
	Reason  string
	Resumed bool
	Tx      struct{ At time.Time }
}

func newTail(a addresses, s *screen) *tail { return &tail{address: a, screen: s, rows: newTables()} }

// again is the pause between two attempts to connect.
const again = 200 * time.Millisecond

// follow shows events until ctx ends. Its error is an answer that cannot be followed.
func (t *tail) follow(ctx context.Context) error {
	if err := t.load(ctx); err != nil {
		return ignoreCanceled(ctx, err)
	}
	for {
		final, err := t.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if final {
			return err
		}
		if t.lost.IsZero() && t.begun {
			t.lost = time.Now()
			t.screen.note(warn, "connection lost, waiting…")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// load takes the rows, and where to go on, from the shop.
func (t *tail) load(ctx context.Context) error {
	rows, lsn, err := fetchTables(ctx, t.address.shop)
	if err != nil {
		return err
	}
	if t.lastID == "" {
		t.lastID = lsn
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows, t.at = rows, change.Position{}
	return nil
}

// connect reads one stream to its end. final says that another attempt would get the
// same.
func (t *tail) connect(ctx context.Context) (final bool, err error) {
	var verifying sync.WaitGroup
	defer verifying.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.address.page+"/events?"+url.Values{"channel": channels}.Encode(), nil)
	if err != nil {
		return true, err
	}
	r.Header.Set("Accept", "application/x-ndjson")
	r.Header.Set("Last-Event-ID", t.lastID)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if code := response.StatusCode; code != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return code < 500 && code != http.StatusTooManyRequests && err == nil, fmt.Errorf("demo: subscribe: status %d: %s", code, body)
	}
	t.untold = nil
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return false, err
		}
		e := new(event)
		if err := json.Unmarshal(line, e); err != nil {
			return true, fmt.Errorf("demo: unreadable event %.80q: %w", line, err)
		}
		if e.Event == "ready" {
			t.ready(e)
			if t.resume != nil {
				verifying.Go(func() { t.verify(ctx) })
			}
			continue
		}
		if err := t.take(ctx, e); err != nil {
			return true, err
		}
	}
}

// ready notes a connection.
func (t *tail) ready(e *event) {
	if e.ID != "" {
		t.lastID = e.ID
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resume = nil
	if t.begun && e.Resumed {
		t.resume = &resume{id: e.ID, after: time.Since(t.lost), at: time.Now()}
	}
	t.begun, t.lost = true, time.Time{}
}

// verify says what came of a resume, once all that was missed has arrived.
func (t *tail) verify(ctx context.Context) {
	equal := t.inStep(ctx)
	if equal == nil {
		return // cut off again, or different: the check at the end tells
	}
	t.mu.Lock()
	r := *t.resume
	t.mu.Unlock()
	t.screen.note(good, "resumed at %s after %.1f s: %s caught up, nothing lost (%s equal the database's)",
		shortID(r.id), r.after.Seconds(), plural(r.caught, "event"), equal)
}

// take does what an event says.
func (t *tail) take(ctx context.Context, e *event) error {
	switch e.Event {
	case "insert", "update", "delete":
		t.untold = append(t.untold, e)
		if e.ID != "" {
			t.tell(e.ID)
		}
	case "reset":
		t.screen.note(warn, "reset of %s (%s): its rows are fetched again", e.Channel, e.Reason)
		if err := t.load(ctx); err != nil {
			return err
		}
	}
	if e.ID != "" {
		t.lastID = e.ID
	}
	return nil
}

// tell applies and shows the events up to the one that had this id.
func (t *tail) tell(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := channel.ParseEventID(id)
	switch {
	case err == nil && t.at.Less(at.At):
	case t.wrong != nil:
	case err != nil:
		t.wrong = fmt.Errorf("demo: %w", err)
	default:
		t.wrong = fmt.Errorf("demo: event %s came after %s: it came twice or too late", id, t.at)
	}
	t.at = at.At
	for _, e := range t.untold {
		t.shown++
		if t.resume != nil && e.Tx.At.Before(t.resume.at) {
			t.resume.caught++
		}
		t.show(e, id)
	}
	t.untold = t.untold[:0]
}

// show applies an event to the rows and prints it. t.mu is held.
func (t *tail) show(e *event, id string) {
	rows, key := t.rows[e.Channel], e.Key.values["id"]
	old := rows[key]
	if e.Row != nil {
		rows[key] = e.Row
	} else {
		delete(rows, key)
	}
	left := fmt.Sprintf("%s  %-12s  ", e.Tx.At.Local().Format("15:04:05.000"), shortID(id))
	op := fmt.Sprintf("%-6s  ", e.Event)
	what := e.Channel + " #" + key
	did := changes(old, e.Row)
	if did != "" {
		what = fmt.Sprintf("%-14s  ", what)
		did = t.screen.cut(did, len(left)+len(op)+len(what))
	}
	t.screen.line(part{dim, left}, part{opStyles[e.Event], op}, part{bold, what}, part{plain, did})
}

var opStyles = map[string]style{"insert": good, "update": blue, "delete": bad}

// shortID is an id without the view tag.
func shortID(id string) string {
	e, err := channel.ParseEventID(id)
	if err != nil {
		return id
	}
	return e.At.String()
}

// account is how many events were shown, and what was wrong with their order.
func (t *tail) account() (shown int, wrong error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown, t.wrong
}

// settle is how long inStep waits for the stream to get where the database was.
const settle = 300 * time.Millisecond

// inStep compares the rows with the database's until both are equal or ctx ends, and
// returns them, or nil. A change between the look at the one and at the other is no
// difference: the next look will do.
func (t *tail) inStep(ctx context.Context) tables {
	for ctx.Err() == nil {
		want, _, err := fetchTables(ctx, t.address.shop)
		for end := time.Now().Add(settle); ctx.Err() == nil && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if err == nil && t.holds(want) {
				return want
			}
		}
	}
	return nil
}

func (t *tail) holds(want tables) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows.equal(want)
}
