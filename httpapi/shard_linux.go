package httpapi

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/fault"
)

// shard writes the streams of its connections from one goroutine: what is pending for one goes out
// in one write that never blocks. All but ready, mu and what that guards belong to the goroutine.
type shard struct {
	shardOptions
	ready  *channel.Ready
	poller *poller
	kick   chan struct{} // capacity 1; has a value when something is in fresh or events

	mu      sync.Mutex
	fresh   []*conn // not admitted yet
	events  []unix.EpollEvent
	stopped bool // nothing is taken into fresh any more

	table    table
	wheel    *wheel
	timer    *time.Timer // of the wheel; stopped while the table is empty
	draining bool
	began    time.Time
	clock    time.Time     // when the shard last looked
	now      time.Duration // the same, since began
	scratch  scratch
	tally    tally
	// What is at hand, so that a panic at one connection keeps nothing from the others.
	listed  []uint64 // what was taken from ready last
	next    int      // of listed
	coming  []*conn  // to be admitted
	heard   []unix.EpollEvent
	current *conn // nil: nothing is done for one
	panics  quiet
	served  int // since others were last let run
}

func newShard(o shardOptions) (*shard, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	s := &shard{shardOptions: o, ready: channel.NewReady(), poller: p, kick: make(chan struct{}, 1), began: time.Now(),
		wheel: newWheel(min(o.heartbeat, o.writeTimeout)), timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	return s, nil
}

// run serves until ctx ends, and then ends every stream at once.
func (s *shard) run(ctx context.Context) {
	for !s.survives(func() { s.follow(ctx) }) {
	}
	for !s.survives(s.stop) {
	}
}

// follow does what there is to do until ctx ends. Called again after a panic it goes on where that left
// off.
func (s *shard) follow(ctx context.Context) {
	s.resume()
	for drain := s.drain; ; {
		s.current = nil
		select {
		case <-ctx.Done():
			return
		case <-drain:
			drain = nil
			s.endAll(codeDraining)
		case <-s.timer.C:
			s.look()
			more := s.wheel.turn(s.now, maxLooks, s.lookAt)
			s.table.shrink()
			s.wind(more)
		case <-s.kick:
			s.look()
			s.receive()
		case <-s.ready.Changed():
			s.look()
			s.listed, s.next = s.ready.Take(s.listed), 0
			s.serveListed()
		}
		s.scratch.release()
		s.tally.flush()
	}
}

// resume does the rest of what a panic interrupted.
func (s *shard) resume() {
	s.look()
	s.takeUp()
	s.serveListed()
	s.wind(true)
}

// maxLooks bounds how many connections are looked at in a row: where thousands are due for a heartbeat,
// those who have something to take do not wait for all of them.
const maxLooks = 32

// look reads the clock.
func (s *shard) look() {
	s.clock = time.Now()
	s.now = s.clock.Sub(s.began)
}

// poll hands events to the shard until the poller is closed.
func (s *shard) poll() {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := s.poller.wait(events)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				s.log.Error("hang-ups and slow clients go unnoticed: epoll does not answer", "cause", err, "fix", "restart walrelay, and please report this as a bug")
			}
			return
		}
		s.mu.Lock()
		s.events = append(s.events, events[:n]...)
		s.mu.Unlock()
		s.signal()
	}
}

func (s *shard) signal() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// adopt hands a connection to the shard. It reports false when the shard has stopped.
func (s *shard) adopt(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.fresh = append(s.fresh, c)
	s.signal()
	return true
}

// serveListed serves those who have something to take, or have ended.
func (s *shard) serveListed() {
	for s.next < len(s.listed) {
		c := s.table.find(s.listed[s.next])
		s.next++
		s.current = c
		switch {
		case c == nil: // gone meanwhile
		case !c.blocked:
			s.serve(c)
		case c.st.sub.cut.Load(): // it is not to be written any more, and may wait for long
			c.cutOff()
		}
	}
}

// receive takes up what others have left.
func (s *shard) receive() {
	s.mu.Lock()
	s.coming, s.heard = s.fresh, s.events
	s.fresh, s.events = nil, nil
	s.mu.Unlock()
	s.takeUp()
}

func (s *shard) takeUp() {
	for len(s.coming) > 0 {
		c := s.coming[0]
		s.coming = s.coming[1:]
		s.admit(c)
	}
	for len(s.heard) > 0 {
		e := s.heard[0]
		s.heard = s.heard[1:]
		s.event(&e)
	}
	s.coming, s.heard = nil, nil
}

func (s *shard) admit(c *conn) {
	s.current = c
	s.table.add(c)
	if s.table.live == 1 {
		s.wind(false)
	}
	c.wrote = s.now
	if c.st.life > 0 {
		c.expires = s.now + c.st.life
	}
	if err := s.poller.add(c.fd, c.key); err != nil {
		s.log.Error("stream cannot be watched and is cut off", "cause", os.NewSyscallError("epoll_ctl", err), "fix", "see the limits of open files and of epoll watches")
		s.drop(c, endWrite)
		return
	}
	c.st.sub.Bind(s.ready, c.key)
	if s.draining {
		c.end(codeDraining)
	}
	s.serve(c)
}

func (s *shard) event(e *unix.EpollEvent) {
	c := s.table.find(keyOf(e))
	switch {
	case c == nil: // gone meanwhile
	case e.Events&hungUp != 0:
		s.drop(c, endOfSocket(c.fd))
	case c.blocked:
		s.wheel.remove(c) // a heartbeat may be due before the write timeout was
		s.serve(c)
	}
}

// maxPasses and maxTurn bound how often and how much a connection that reads as fast as it is written
// to is written to in a row: the others of the shard wait meanwhile.
const (
	maxPasses = 16
	maxTurn   = 1 << 20
)

// serve writes what there is for a connection, until there is nothing, the socket is full, or the
// stream is over. One that is blocked is served when epoll has told of room.
func (s *shard) serve(c *conn) {
	s.current = c
	s.breathe()
	for range maxPasses {
		if err := s.write(c); err != nil {
			s.drop(c, endOfSend(err))
			return
		}
		switch {
		case c.blocked:
			s.schedule(c)
			return
		case c.pending():
			s.yield(c)
			return
		case c.told:
			discardInput(c.fd, s.scratch.block.out[:cap(s.scratch.block.out)])
			s.drop(c, c.ending)
			return
		case !s.ask(c):
			s.schedule(c)
			return
		}
	}
	s.yield(c)
}

// yield goes on with a connection behind those that wait.
func (s *shard) yield(c *conn) {
	s.schedule(c)
	s.ready.Add(c.key)
}

// ask gets what is to be written next. It reports false when that is nothing.
func (s *shard) ask(c *conn) bool {
	if len(c.runs) > 0 {
		s.tally.to(c.st.traffic).sent(c.runs, s.clock)
	}
	var end string
	c.runs, c.at, c.off = nil, 0, 0
	if c.ending == "" {
		c.runs, end, _ = c.st.sub.Next()
	}
	if end != "" {
		c.end(end)
	}
	if c.ending != "" {
		c.tell()
	}
	return c.pending()
}

// write writes what is pending, as far as the socket takes it and a turn goes.
func (s *shard) write(c *conn) error {
	for turn := 0; turn < maxTurn; {
		if c.st.sub.cut.Load() {
			c.cutOff()
		}
		if !c.pending() {
			c.blocked = false // of what waited for room nothing is left
			return nil
		}
		p := c.gather(&s.scratch)
		n, err := transmit(c.fd, p)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if n > 0 {
			fault.At(fault.Written)
		}
		if !c.blocked || n > 0 && !c.over() {
			c.wrote = s.now
		}
		turn += n
		s.tally.to(c.st.traffic).bytes += uint64(c.advance(n, &s.scratch))
		if c.blocked = n < len(p); c.blocked {
			return nil
		}
	}
	return nil
}

// lookAt does what is due for a connection whose time has come.
func (s *shard) lookAt(c *conn) {
	s.current = c
	idle := s.now - c.wrote
	switch {
	case c.blocked && idle >= s.writeTimeout:
		s.lastTry(c)
		return
	case c.expires > 0 && s.now >= c.expires && c.ending == "":
		c.end(endRenew)
		if !c.blocked {
			s.serve(c)
			return
		}
	case !c.blocked && !c.pending() && !c.over() && idle >= s.heartbeat-s.heartbeat/5:
		s.beat(c)
		return
	}
	s.schedule(c)
}

// lastTry writes to a client that has taken nothing for the write timeout, and gives it up if it takes
// nothing now: while the whole process stood still it may have read, and epoll has not told yet.
func (s *shard) lastTry(c *conn) {
	was := c.wrote
	if err := s.write(c); err != nil {
		s.drop(c, endOfSend(err))
		return
	}
	if c.blocked && c.wrote == was {
		s.drop(c, endSlow)
		return
	}
	s.serve(c)
}

// schedule sees to it that a connection is looked at when something is due. Heartbeats are spread:
// an event for all makes all idle at once. A write leaves the look where it is: that is too early, and
// finds out.
func (s *shard) schedule(c *conn) {
	var at time.Duration
	switch {
	case c.blocked:
		at = c.wrote + s.writeTimeout
	case c.tick != 0:
		return
	default:
		at = c.wrote + between(s.heartbeat-s.heartbeat/5, s.heartbeat)
	}
	if c.expires > 0 && c.ending == "" {
		at = min(at, c.expires)
	}
	s.wheel.set(c, at)
}

// beat shows an idle client how far it is complete, and finds out whether it is there.
func (s *shard) beat(c *conn) {
	text, framed := s.scratch.beat.of(c)
	y := s.tally.to(c.st.traffic)
	y.heartbeats++
	y.bytes += uint64(len(text))
	c.rest = framed
	err := s.write(c)
	c.rest = slices.Clone(c.rest) // the memory is that of all heartbeats
	if err != nil {
		s.drop(c, endOfSend(err))
		return
	}
	s.breathe()
	s.schedule(c)
}

// endAll ends every stream, now and from now on.
func (s *shard) endAll(reason string) {
	s.look()
	s.draining = true
	for _, c := range s.table.conns {
		if c == nil {
			continue
		}
		s.current = c
		if c.end(reason); !c.blocked {
			s.serve(c)
		}
	}
}

// drop ends a stream and closes its socket, unless that has been done: the descriptor may be somebody
// else's by now.
func (s *shard) drop(c *conn, reason string) {
	s.current = c
	if s.table.find(c.key) != c {
		return
	}
	s.wheel.remove(c)
	s.table.remove(c)
	if err := unix.Close(c.fd); err != nil {
		s.log.Debug("socket of a stream not closed", "cause", err)
	}
	c.rest, c.runs = nil, nil
	s.tally.flush() // first: who knows of the end may ask what was written
	c.st.finish(reason)
}

// breathe lets others run now and then: thousands of writes in a row would keep the processor from
// the lanes for as long as all of them take. It reads the clock as often as latencies need.
func (s *shard) breathe() {
	s.served++
	if s.served%64 == 0 {
		runtime.Gosched()
	}
	if s.served%16 == 0 {
		s.look()
	}
}

// wind makes the timer go off at the next tick, or now, if there is anybody to look at.
func (s *shard) wind(now bool) {
	switch {
	case s.table.live == 0:
	case now:
		s.timer.Reset(0)
	default:
		s.timer.Reset(s.wheel.tick)
	}
}

// stop ends what is left, and poll.
func (s *shard) stop() {
	s.timer.Stop()
	s.mu.Lock()
	fresh := s.fresh
	s.fresh, s.stopped = nil, true
	s.mu.Unlock()
	for _, c := range fresh {
		s.table.add(c)
	}
	for _, c := range s.table.conns {
		if c != nil {
			s.drop(c, endClient)
		}
	}
	s.current = nil
	if err := s.poller.close(); err != nil {
		s.log.Debug("epoll set not closed", "cause", err)
	}
}
