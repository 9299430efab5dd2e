package integration

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// audienceKey is what one user sees of one concrete channel.
type audienceKey struct {
	channel *convergenceChannel
	param   int64
	user    *convergenceUser
}

func (k audienceKey) name() string { return k.channel.concrete(k.param) }

func (k audienceKey) String() string { return fmt.Sprintf("%s as %s", k.name(), k.user.claims()) }

// where is the rule in SQL, over the row r.
func (k audienceKey) where() string { return k.channel.sql(k.user, k.param) }

// allowed reports whether the user may subscribe at all.
func (k audienceKey) allowed() bool {
	return k.channel.gate == nil || k.channel.gate(k.user, k.param)
}

// span is what a client got of an audience without a new beginning.
type span struct {
	audience audienceKey
	// begun: an id has told that the client has everything from here on; whoever began with a
	// snapshot has some of what came before, too.
	begun    bool
	from, to change.Position
	events   []rowEvent
	// sure are those that an id has followed: they cannot come again.
	sure int
	// exact: it began with a snapshot, so that the view was always that of some commit.
	// repeats: until the next id, events may be those that were lost with the connection.
	exact, repeats bool
}

// convergenceClient keeps a view of each of its channels, by events alone. Its methods are for
// the test's goroutine.
type convergenceClient struct {
	test      *convergence
	number    int
	user      *convergenceUser
	audiences map[string]audienceKey // by concrete name
	sse       *sse
	away      bool // it stays away for a while

	views     map[string]rowView
	spans     map[string]*span
	truncated map[string]bool // the empty snapshot of a TRUNCATE is to come
	paging    map[string]bool // the first frame of a snapshot has come, the last has not
}

// url is the stream on the admin listener, where one can be anybody.
func (c *convergenceClient) url() string {
	q := url.Values{"as": {c.user.claims()}}
	for name := range c.audiences {
		q.Add("channel", name)
	}
	return c.test.relay.adminAt + "/events?" + q.Encode()
}

func (c *convergenceClient) connect(t testing.TB) {
	t.Helper()
	c.views, c.spans, c.truncated, c.paging = map[string]rowView{}, map[string]*span{}, map[string]bool{}, map[string]bool{}
	c.sse = openSSE(t, c.url(), nil)
}

// comeBack goes on where it was, sometimes in the middle of what was on its way.
func (c *convergenceClient) comeBack(t testing.TB) {
	t.Helper()
	c.test.reconnects++
	c.cut()
	c.away = false
	c.sse.url = c.url()
	c.sse.reconnect(t)
}

// cut loses the connection. What no id has followed will come again.
func (c *convergenceClient) cut() {
	c.sse.close()
	for _, s := range c.spans {
		c.test.loose = append(c.test.loose, span{audience: s.audience, events: slices.Clone(s.events[s.sure:])})
		s.repeats = s.repeats || s.sure < len(s.events)
		s.events = s.events[:s.sure]
	}
	clear(c.paging)
	clear(c.truncated)
}

// startAfresh forgets everything.
func (c *convergenceClient) startAfresh(t testing.TB) {
	t.Helper()
	c.sse.lastID = ""
	c.comeBack(t)
}

// becomes goes on as another user, with the id of the one before.
func (c *convergenceClient) becomes(t testing.TB, u *convergenceUser) {
	t.Helper()
	c.cut()
	for _, s := range c.spans {
		c.test.ended = append(c.test.ended, s)
	}
	clear(c.spans)
	c.user = u
	for name, a := range c.audiences {
		a.user = u
		c.audiences[name] = a
	}
	c.comeBack(t)
}

// drain takes at most so many of the frames that have come. It comes back when the server has
// ended the stream.
func (c *convergenceClient) drain(t testing.TB, most int) {
	t.Helper()
	for range most {
		f, ok, ended := c.sse.stream.take()
		if !ok {
			if ended {
				c.test.ends++
				c.comeBack(t)
			}
			return
		}
		c.sse.lastID = f.id
		c.take(t, f)
	}
}

// follow takes frames until one says that the client is complete up to an LSN.
func (c *convergenceClient) follow(t testing.TB, upTo change.LSN) {
	t.Helper()
	for {
		if id := c.sse.lastID; id != "" && len(c.paging) == 0 && !positionOf(t, id).Less(change.Before(upTo)) && c.settled() {
			return
		}
		f, ok := c.sse.nextFrame(t)
		if !ok {
			c.test.ends++
			c.comeBack(t)
			continue
		}
		c.take(t, f)
	}
}

// settled reports whether the last frame had an id: whatever came is known by it.
func (c *convergenceClient) settled() bool {
	for name := range c.audiences {
		if s := c.spans[name]; s == nil || !s.begun || s.sure < len(s.events) {
			return false
		}
	}
	return true
}

// take does what the frame asks for.
func (c *convergenceClient) take(t testing.TB, f frame) {
	t.Helper()
	if f.hasData {
		var e channelEvent
		f.decode(t, &e)
		c.event(t, f, &e)
	}
	if !f.hasID {
		return
	}
	if len(c.paging) > 0 {
		t.Fatalf("client %d, %s: an id in the middle of a snapshot: %s", c.number, c.sse.url, f.id)
	}
	at := positionOf(t, f.id)
	for _, s := range c.spans {
		if !s.begun {
			s.begun, s.from = true, at
		}
		s.repeats = s.repeats && !s.to.Less(at)
		s.to, s.sure = at, len(s.events)
	}
}

func (c *convergenceClient) event(t testing.TB, f frame, e *channelEvent) {
	t.Helper()
	c.test.events[f.event]++
	switch f.event {
	case "ready":
		c.ready(t, e.Resumed)
	case "end":
		c.test.reasons[e.Reason]++
	case "reset":
		c.reset(t, e)
	case "snapshot":
		c.snapshot(t, e)
	case "insert", "update", "delete":
		s := c.stretchOf(t, e.Channel)
		r := e.row(t, f.event)
		s.events = append(s.events, r)
		if _, has := c.views[e.Channel][r.Key.String()]; s.exact && !s.repeats && has == (f.event == "insert") {
			t.Errorf("client %d: %s of %s of transaction %d, which it has: %v; the snapshot had the transaction already, or lacks another", c.number, f.event, e.Channel, r.XID, has)
		}
		c.views[e.Channel].apply(r)
	case "message":
	default:
		t.Fatalf("client %d: an event of an unknown kind: %s %s", c.number, f.event, f.data)
	}
}

// ready begins anew, or goes on with what it has: also as another user, if the rules do not
// tell the two apart.
func (c *convergenceClient) ready(t testing.TB, resumed bool) {
	t.Helper()
	for name, a := range c.audiences {
		switch {
		case !resumed:
			c.begin(t, name)
		case c.spans[name] == nil:
			c.test.alike++
			c.spans[name] = &span{audience: a}
		}
	}
}

// begin forgets the rows of a channel. Those of one without snapshots are fetched, as a page
// does.
func (c *convergenceClient) begin(t testing.TB, name string) {
	t.Helper()
	a, mine := c.audiences[name]
	if !mine {
		t.Fatalf("client %d: %s is not its channel", c.number, name)
	}
	if old := c.spans[name]; old != nil {
		c.test.ended = append(c.test.ended, old)
	}
	c.spans[name] = &span{audience: a}
	c.views[name] = rowView{}
	if !a.channel.snapshot {
		c.views[name] = c.test.fetch(t, a)
	}
}

func (c *convergenceClient) stretchOf(t testing.TB, name string) *span {
	t.Helper()
	s := c.spans[name]
	if s == nil {
		t.Fatalf("client %d: an event of %s, which it was not told to begin", c.number, name)
	}
	return s
}

func (c *convergenceClient) reset(t testing.TB, e *channelEvent) {
	t.Helper()
	c.test.resets[e.Reason]++
	if e.Reason != "truncate" {
		c.begin(t, e.Channel)
		return
	}
	c.stretchOf(t, e.Channel)
	clear(c.views[e.Channel])
	c.truncated[e.Channel] = c.audiences[e.Channel].channel.snapshot
}

func (c *convergenceClient) snapshot(t testing.TB, e *channelEvent) {
	t.Helper()
	a := c.audiences[e.Channel]
	switch {
	case c.truncated[e.Channel]:
		if len(e.Rows) > 0 || !e.First || !e.Last {
			t.Fatalf("client %d: not an empty snapshot after a truncate: %d rows", c.number, len(e.Rows))
		}
		delete(c.truncated, e.Channel)
		return
	case e.First:
		c.test.snapshots++
		c.begin(t, e.Channel)
		c.spans[e.Channel].exact, c.paging[e.Channel] = true, true
	}
	if !a.channel.snapshot || !c.paging[e.Channel] {
		t.Fatalf("client %d: a snapshot of %s that was not begun", c.number, e.Channel)
	}
	if e.Last {
		delete(c.paging, e.Channel)
	}
	for _, text := range e.Rows {
		row := rowOf(t, text)
		c.test.snapshotRows++
		c.views[e.Channel][row.only(a.channel.keys()...).String()] = row
		c.test.shown(a, row)
	}
}
