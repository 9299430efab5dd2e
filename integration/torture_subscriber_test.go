package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// tortureKind is how a subscriber behaves while there is no calm.
type tortureKind int

const (
	steady   tortureKind = iota // stays for as long as it can
	fickle                      // leaves at any byte, at any moment or right after a heartbeat, and is back at once
	stalling                    // reads nothing for a while, with little room in the kernel, so that its queue overflows
	absent                      // stays away for seconds
	newcomer                    // is fickle, and at times comes without an id or with a bare LSN, as a new page does
)

func (k tortureKind) String() string {
	return [...]string{"steady", "fickle", "stalling", "absent", "newcomer"}[k]
}

// stretch is what a subscriber got without a break in its sequence: everything behind
// from up to to.
type stretch struct {
	// how it began: "" where the round before ended, fresh without an id, bare at an LSN
	// that Postgres named, else with resets for this reason.
	how      string
	from, to change.Position
	got      []expected
}

// sufferer is a subscriber under torture. One goroutine runs it.
type sufferer struct {
	t        *torture
	number   int
	kind     tortureKind
	wire     tortureWire
	address  string // host:port, of walrelay or of the proxy in front of it
	path     string // of the URL, without an id, and with a query where several channels are asked for
	channels []string
	has      []bool // by number of the channel, see tortureOracle
	random   *rand.Rand
	round    int // that random is for

	mu    sync.Mutex
	tag   string
	held  []string // events of a position whose last has not come yet
	notes []note   // its connections of late, oldest first
	leave context.CancelCauseFunc
	// exile, when not nil, keeps it away until it is closed.
	exile chan struct{}
	// lastID is what it comes back with, at the position in it.
	lastID    string
	at        change.Position
	stretches []stretch // of this round; the last one is under way
	err       error     // what it must not have got
	// Of the round.
	visits, resumed, beats int
}

func (s *sufferer) String() string {
	return fmt.Sprintf("subscriber %d (%s, %s, %s)", s.number, s.kind, s.wire, s.path)
}

// begin makes the first connection and leaves after ready.
func (s *sufferer) begin(ctx context.Context) error {
	wire := s.wire
	s.wire = wireSSE // a long poll does not say where it begins
	s.visit(ctx, visit{fresh: true, limit: unlimited, stallAt: -1, leaveAtReady: true})
	s.wire = wire
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && len(s.stretches) != 1 {
		return fmt.Errorf("%s: no ready: %v", s, s.notes)
	}
	return s.err
}

// run comes back again and again until ctx ends or it got what it must not get.
func (s *sufferer) run(ctx context.Context) {
	for ctx.Err() == nil && s.failure() == nil {
		v := s.plan()
		s.visit(ctx, v)
		s.t.weather.wait(ctx, v.pause)
		s.waitExile(ctx)
	}
}

// visit is the plan for one connection.
type visit struct {
	fresh        bool   // comes without an id
	bare         string // comes with this LSN
	untagged     bool   // comes with its id, but without the view tag
	limit        int    // bytes to read, headers included
	lasts        time.Duration
	beats        int // leaves after so many heartbeats; 0: does not
	stallAt      int // bytes, then it reads nothing for stallFor; -1: does not
	stallFor     time.Duration
	leaveAtReady bool
	inQuery      bool          // the id is in the query
	pause        time.Duration // afterwards
}

// plan chooses the next connection; all chance of a round comes from the round's seed.
func (s *sufferer) plan() visit {
	w := s.t.weather.now()
	if s.round != w.round {
		s.round, s.random = w.round, w.random(actorSubscriber+s.number)
	}
	r := s.random
	v := visit{limit: unlimited, stallAt: -1, inQuery: r.IntN(4) == 0, pause: moment(r, 20*time.Millisecond, 250*time.Millisecond)}
	if w.calm {
		if s.wire == wirePoll {
			v.pause = 0 // it gets little at a time
		}
		return v
	}
	switch s.kind {
	case stalling:
		v.stallAt, v.stallFor = r.IntN(20_000), moment(r, 300*time.Millisecond, 3*time.Second)
		v.lasts = v.stallFor + moment(r, 500*time.Millisecond, 4*time.Second)
	case absent:
		v.lasts, v.pause = moment(r, 200*time.Millisecond, 2*time.Second), moment(r, time.Second, 6*time.Second)
	case fickle, newcomer:
		s.planFickle(&v, w)
	}
	return v
}

func (s *sufferer) planFickle(v *visit, w weather) {
	r := s.random
	switch r.IntN(4) {
	case 0:
		v.limit = r.IntN(1500) // often within the headers or ready
	case 1:
		v.limit = r.IntN(30_000)
	case 2:
		v.lasts = moment(r, 20*time.Millisecond, 2*time.Second)
	case 3:
		v.beats = 1 + r.IntN(3)
	}
	if r.IntN(2) == 0 {
		v.pause = 0
	}
	if w.losses {
		return // an id of its own is what is to be answered with reset
	}
	v.untagged = r.IntN(8) == 0
	if s.kind == newcomer && s.wire != wirePoll {
		v.fresh = r.IntN(3) == 0
		if lsn := s.t.bareLSN.Load(); !v.fresh && r.IntN(2) == 0 && lsn != nil {
			v.bare = *lsn
		}
	}
}

// id is what the connection of this plan comes with.
func (s *sufferer) id(v visit) string {
	switch {
	case v.fresh:
		return ""
	case v.bare != "":
		return v.bare
	case v.untagged:
		return s.lastID[:strings.LastIndexByte(s.lastID, '.')]
	}
	return s.lastID
}

var (
	errLeft  = errors.New("left")
	errExile = errors.New("sent away")
)

// visit makes one connection and reads until it ends.
func (s *sufferer) visit(ctx context.Context, v visit) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if v.lasts > 0 {
		defer time.AfterFunc(v.lasts, func() { cancel(errLeft) }).Stop()
	}
	s.mu.Lock()
	c := &call{s: s, v: v, id: s.id(v), leave: cancel}
	s.leave, s.held = cancel, nil
	s.visits++
	s.mu.Unlock()
	err := c.read(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave = nil
	s.note("from %q to %q, %d events: %v", c.id, s.lastID, c.events, err)
}

// note is something that happened to a subscriber, once or again and again.
type note struct {
	first, last time.Time
	text        string
	times       int
}

func (n note) String() string {
	text := n.first.Format("15:04:05.000 ") + n.text
	if n.times > 1 {
		text += fmt.Sprintf(" (%d times, until %s)", n.times, n.last.Format("15:04:05.000"))
	}
	return text
}

// note keeps the last ones. s.mu is held.
func (s *sufferer) note(format string, args ...any) {
	now, text := time.Now(), fmt.Sprintf(format, args...)
	if n := len(s.notes); n > 0 && s.notes[n-1].text == text {
		s.notes[n-1].last = now
		s.notes[n-1].times++
		return
	}
	s.notes = append(s.notes[max(0, len(s.notes)-15):], note{now, now, text, 1})
}

// fail notes what must not have come. s.mu is held.
func (s *sufferer) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
		s.note("%v", s.err)
	}
}

func (s *sufferer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// sendAway ends the connection and keeps the subscriber away until the channel that
// is returned is closed.
func (s *sufferer) sendAway() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exile = make(chan struct{})
	if s.leave != nil {
		s.leave(errExile)
	}
	return s.exile
}

func (s *sufferer) waitExile(ctx context.Context) {
	s.mu.Lock()
	exile := s.exile
	s.mu.Unlock()
	if exile == nil {
		return
	}
	select {
	case <-exile:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.exile = nil
	s.mu.Unlock()
}

// position is up to where it is complete.
func (s *sufferer) position() change.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// take gives what it got since the last time. At a quiet point nothing is missed.
func (s *sufferer) take() []stretch {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stretches
	out[len(out)-1].to = s.at
	s.stretches = []stretch{{from: s.at}}
	return out
}

// call is one connection.
type call struct {
	s     *sufferer
	v     visit
	id    string // that it came with
	leave context.CancelCauseFunc
	// Guarded by sufferer.mu.
	ready   bool
	refused bool     // not resumed: resets must follow
	resets  []string // reasons, until the one with an id
	beats   int
	events  int
	left    bool // what still comes was lost on the way
}

// frame takes one frame that arrived whole.
func (c *call) frame(f frame) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.left || s.err != nil || !f.hasData && !f.hasID {
		return
	}
	switch {
	case f.event == "end":
		c.end(f)
		return
	case f.event == "ready":
		c.begin(f)
		return
	case !c.ready && s.wire != wirePoll:
		s.fail("got %s %s before ready", f.event, f.data)
	case f.event == "reset" && !strings.Contains(f.data, `"reason":"truncate"`):
		c.reset(f)
		return
	case c.refused || len(c.resets) > 0:
		s.fail("got %s %s %s where %d resets should follow", f.event, f.id, f.data, len(s.channels))
	case f.hasData:
		s.held = append(s.held, f.event+" "+f.data)
		c.events++
	}
	if f.hasID && s.err == nil {
		s.commit(f.id)
	}
	if c.beat(f); s.err != nil {
		c.quit()
	}
}

// beat leaves when it is time to, right behind a heartbeat.
func (c *call) beat(f frame) {
	if !f.heartbeat() {
		return
	}
	c.s.beats++
	if c.beats++; c.beats == c.v.beats {
		c.quit()
	}
}

// quit leaves: what is on its way is lost.
func (c *call) quit() {
	c.left = true
	c.leave(errLeft)
}

func (c *call) end(f frame) {
	if !strings.Contains(f.data, "starting") {
		c.s.note("end %s", f.data)
	}
	for _, fine := range []string{"draining", "starting", "gap", "lineage"} {
		if strings.Contains(f.data, `"reason":"`+fine+`"`) {
			return
		}
	}
	c.s.fail("got end %s", f.data)
}

// begin takes ready.
func (c *call) begin(f frame) {
	s := c.s
	var e struct{ Resumed bool }
	if err := json.Unmarshal([]byte(f.data), &e); err != nil || c.ready {
		s.fail("got ready %s (%v), the first: %v", f.data, err, !c.ready)
		return
	}
	c.ready = true
	switch {
	case c.id == "" && (e.Resumed || !f.hasID), c.id != "" && f.hasID && !samePosition(f.id, c.id), e.Resumed && !f.hasID:
		s.fail("came with %q and got ready %s %s", c.id, f.id, f.data)
	case c.id == "":
		s.start(f.id, "fresh")
	case !e.Resumed:
		c.refused = true
	case c.v.bare != "":
		s.start(f.id, "bare")
	default:
		s.resumed++
		s.commit(f.id)
	}
	if c.v.leaveAtReady {
		c.quit()
	}
}

func samePosition(a, b string) bool {
	x, err1 := channel.ParseEventID(a)
	y, err2 := channel.ParseEventID(b)
	return err1 == nil && err2 == nil && x.At == y.At
}

// reset takes one that says that the sequence is broken. They come one per channel,
// the last one with the id from which it goes on.
func (c *call) reset(f frame) {
	s := c.s
	var e struct{ Reason string }
	if err := json.Unmarshal([]byte(f.data), &e); err != nil || len(s.held) > 0 {
		s.fail("got reset %s (%v) behind %d events without an id", f.data, err, len(s.held))
		return
	}
	c.resets = append(c.resets, e.Reason)
	if c.resets[0] != e.Reason || len(c.resets) > len(s.channels) || f.hasID != (len(c.resets) == len(s.channels)) {
		s.fail("got resets %v of %d channels, the last with id %q", c.resets, len(s.channels), f.id)
		return
	}
	if f.hasID {
		c.refused, c.resets = false, nil
		s.note("reset %s", e.Reason)
		s.start(f.id, e.Reason)
	}
}

// start begins a stretch behind an id.
func (s *sufferer) start(text, how string) {
	id, err := channel.ParseEventID(text)
	if err != nil || id.Tag == "" {
		s.fail("got id %q, %v", text, err)
		return
	}
	if n := len(s.stretches); n > 0 {
		s.stretches[n-1].to = s.at
	}
	s.stretches = append(s.stretches, stretch{how: how, from: id.At})
	s.lastID, s.at, s.tag = text, id.At, id.Tag
}

// commit takes over what came with an id: only the last event of a position has one.
func (s *sufferer) commit(text string) {
	id, err := channel.ParseEventID(text)
	if err != nil || id.Tag != s.tag || id.At.Less(s.at) || len(s.held) > 0 && id.At == s.at {
		s.fail("got id %q behind %s, %d events before it, %v", text, s.lastID, len(s.held), err)
		return
	}
	now := &s.stretches[len(s.stretches)-1]
	sortResets(s.held)
	for i, event := range s.held {
		now.got = append(now.got, expected{at: id.At, last: i == len(s.held)-1, text: event})
	}
	s.held, s.lastID, s.at = nil, text, id.At
}
