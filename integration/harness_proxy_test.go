package integration

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands between a client and a server and harms what passes, as networks,
// firewalls and machines under load do: it cuts (also in the middle of a message),
// stalls, silences, splits and delays. In front of Postgres it tells replication
// connections from others; in front of walrelay it knows of no protocol.
//
// What it chooses by chance (the sizes of split pieces) comes from its seed and the
// number of the connection.
type proxy struct {
	server   string
	postgres bool // connections begin with Postgres's startup message
	seed     uint64
	greet    func(*link) // harms a new connection before its first byte; may be nil

	listener net.Listener
	wait     sync.WaitGroup

	mu      sync.Mutex
	made    uint64 // connections
	links   map[*link]struct{}
	streams map[*link]struct{} // those in links that replicate
}

// link is a connection through a proxy. Its methods may be called by any goroutine.
type link struct {
	client, server net.Conn
	random         *rand.Rand // for greet
	up, down       *flow      // to the server, to the client
	once           sync.Once
	gone           chan struct{} // closed by close
}

// flow is one direction of a link.
type flow struct {
	mu     sync.Mutex
	random *rand.Rand
	left   int           // bytes until the cut; -1: no cut
	split  int           // bytes that go in pieces of 1 to 7
	delay  time.Duration // before each piece
	held   time.Time     // nothing goes on before
	silent bool          // nothing goes on any more
}

// newProxy is a proxy in front of a Postgres, given as host:port.
func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	return openProxy(t, &proxy{server: server, postgres: true})
}

// openProxy opens p, of which server is set (host:port), and what else is to differ.
func openProxy(t testing.TB, p *proxy) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.listener, p.links, p.streams = l, map[*link]struct{}{}, map[*link]struct{}{}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.each((*link).close)
		p.wait.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// url is that of db, through the proxy.
func (p *proxy) url(t testing.TB, db *database) string {
	t.Helper()
	u, err := url.Parse(db.url())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.address()
	return u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		k := p.link(client, server)
		if p.greet != nil {
			p.greet(k)
		}
		p.wait.Go(func() { p.carry(k) })
	}
}

func (p *proxy) link(client, server net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, 3*p.made+n)) }
	k := &link{client: client, server: server, random: random(0), gone: make(chan struct{}),
		up: &flow{left: -1, random: random(1)}, down: &flow{left: -1, random: random(2)}}
	p.links[k] = struct{}{}
	return k
}

// carry hands on in both directions until one of them ends.
func (p *proxy) carry(k *link) {
	defer func() {
		p.mu.Lock()
		delete(p.links, k)
		delete(p.streams, k)
		p.mu.Unlock()
	}()
	if p.postgres && !p.admit(k) {
		k.close()
		return
	}
	p.wait.Go(func() {
		k.copy(k.server, k.client, k.up)
		k.close()
	})
	k.copy(k.client, k.server, k.down)
	if k.down.isSilent() {
		k.server.Close() // the client is not told
		return
	}
	k.close()
}

// admit hands on the startup message and notes what the connection is for.
func (p *proxy) admit(k *link) bool {
	startup, err := readStartup(k.client)
	if err != nil {
		return false
	}
	if _, err := k.server.Write(startup); err != nil {
		return false
	}
	if strings.Contains(string(startup), "\x00replication\x00") {
		p.mu.Lock()
		p.streams[k] = struct{}{}
		p.mu.Unlock()
	}
	return true
}

// readStartup reads the first message, which begins with its length.
func readStartup(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint32(head))
	copy(message, head)
	_, err := io.ReadFull(r, message[4:])
	return message, err
}

func (k *link) copy(to, from net.Conn, f *flow) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !k.hand(to, buf[:n], f) {
			return
		}
	}
}

// hand hands data on as the flow's harms allow. It reports whether the link goes on.
func (k *link) hand(to net.Conn, data []byte, f *flow) bool {
	for len(data) > 0 {
		if !k.pause(f) {
			return false
		}
		n, silent, cut := f.next(len(data))
		if silent {
			return true // lost
		}
		if _, err := to.Write(data[:n]); err != nil || cut {
			return false
		}
		data = data[n:]
	}
	return true
}

// pause waits for as long as the flow is delayed and held; false: the link was
// closed meanwhile.
func (k *link) pause(f *flow) bool {
	for wait := f.patience(true); wait > 0; wait = f.patience(false) {
		select {
		case <-time.After(wait):
		case <-k.gone:
			return false
		}
	}
	return true
}

// close cuts the link at once.
func (k *link) close() {
	k.once.Do(func() {
		close(k.gone)
		k.client.Close()
		k.server.Close()
	})
}

// stall holds both directions back for a while.
func (k *link) stall(d time.Duration) {
	for _, f := range []*flow{k.up, k.down} {
		f.set(func() { f.held = time.Now().Add(d) })
	}
}

// slow delays every piece from now on, in both directions; 0 ends that.
func (k *link) slow(d time.Duration) {
	k.up.set(func() { k.up.delay = d })
	k.down.set(func() { k.down.delay = d })
}

// silence lets nothing through any more and closes nothing.
func (k *link) silence() {
	k.up.set(func() { k.up.silent = true })
	k.down.set(func() { k.down.silent = true })
}

func (f *flow) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// cutAfter ends the link after so many bytes more in this direction.
func (f *flow) cutAfter(n int) { f.set(func() { f.left = n }) }

// splitNext sends the next n bytes in pieces of 1 to 7.
func (f *flow) splitNext(n int) { f.set(func() { f.split = n }) }

func (f *flow) isSilent() (silent bool) {
	f.set(func() { silent = f.silent })
	return silent
}

// patience is how long the next piece has to wait.
func (f *flow) patience(delayed bool) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := time.Until(f.held)
	if delayed {
		wait = max(wait, f.delay)
	}
	return wait
}

// next says how many of n bytes go in one piece, and whether that is the last.
func (f *flow) next(n int) (size int, silent, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent {
		return 0, true, false
	}
	if f.split > 0 {
		n = min(n, f.split, 1+f.random.IntN(7))
		f.split -= n
	}
	if f.left < 0 {
		return n, false, false
	}
	cut = n >= f.left
	n = min(n, f.left)
	f.left -= n
	return n, false, cut
}

// each calls f for every connection.
func (p *proxy) each(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		f(k)
	}
}

// eachStream calls f for every replication connection.
func (p *proxy) eachStream(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.streams {
		f(k)
	}
}

// cutStreams ends the replication connections after so many bytes more.
func (p *proxy) cutStreams(after int) { p.eachStream(func(k *link) { k.down.cutAfter(after) }) }

// silenceStreams lets nothing through any more on the replication connections that
// are there, and closes nothing.
func (p *proxy) silenceStreams() { p.eachStream((*link).silence) }
