package integration

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// However the connection ends, the stream goes on where it was, and the log says so
// in one line when it is lost and one when it is back.
func TestReplicationReconnect(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key, body text)")
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", cluster.Port()))
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "DATABASE_URL="+p.url(t, db))
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	restart := func(mode pgtemp.Mode) func() {
		return func() {
			if err := cluster.Stop(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			r.waitUnready(t, `"check":"postgres"`)
			if err := cluster.StartAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := 0
	for i, test := range []struct {
		name string
		cut  func()
	}{
		{"walsender ended", func() {
			db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where active")
		}},
		{"all connections ended", func() {
			db.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'walrelay'")
		}},
		{"fast restart", restart(pgtemp.Fast)},
		{"immediate restart", restart(pgtemp.Immediate)},
		{"crash", func() {
			if err := cluster.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := cluster.StartAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"cut in the middle of a message", func() { p.cutStreams(100_000) }},
		{"cut in the middle of a message header", func() { p.cutStreams(3) }},
	} {
		first := id
		insert := func(n int) {
			for range n {
				db.exec(t, fmt.Sprintf("insert into items select n, repeat('x', 10000) from generate_series(%d, %d) n", id, id+19))
				id += 20
			}
		}
		insert(3)
		test.cut()
		insert(3)
		r.stderr.waitCount(t, "replication is back", i+1)
		insert(1)
		for want := first; want < id; want++ {
			if f := s.next(t); !strings.Contains(f.data, fmt.Sprintf(`"row":{"id":%d,`, want)) {
				t.Fatalf("%s: got %s %s %.80s, want row %d", test.name, f.event, f.id, f.data, want)
			}
		}
		r.waitReady(t)
		if lost := strings.Count(r.stderr.String(), "replication lost"); lost != i+1 {
			t.Fatalf("%s: %d lines of %d say that replication is lost:\n%s", test.name, lost, i+1, r.stderr)
		}
	}
}

// A server that is gone without a word, behind a firewall that forgot the
// connection, is noticed after twice wal_sender_timeout.
func TestReplicationReconnectSilence(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", cluster.Port()))
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "DATABASE_URL="+p.url(t, db))
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	p.silenceStreams()
	db.exec(t, "insert into items values (1)")
	r.stderr.waitFor(t, "replication lost.*has not answered")
	wantLines(t, "afterwards", s.told(t, db, "items", "insert into items values (2)"), []string{
		`1.0 items insert {"id":1} {"id":1}`,
		`2.0 items insert {"id":2} {"id":2}`,
	})
	if n := strings.Count(r.stderr.String(), "replication lost"); n != 1 {
		t.Errorf("lost %d times:\n%s", n, r.stderr)
	}
}

// Walrelay serves from its log while Postgres is away, also when it starts
// meanwhile.
func TestReplicationPostgresAway(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	stop := func() {
		if err := cluster.Stop(t.Context(), pgtemp.Fast); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		if err := cluster.StartAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	r := newRelay(t, db, standard(publicTables("items")))
	r.start(t) // for the first time, with nothing in its log
	r.stderr.waitFor(t, "replication lost, trying again.*connect to Postgres at 127.0.0.1")
	r.waitUnready(t, `"check":"postgres"`)
	if status, _ := r.admin(t, "/healthz"); status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	if frames := openSSE(t, r.streamURL("items"), nil).waitEnd(t); len(frames) != 1 || frames[0].event != "end" || !strings.Contains(frames[0].data, "starting") || frames[0].retry == 0 {
		t.Errorf("a subscriber before the first contact with Postgres got %+v", frames)
	}
	again()
	r.waitReady(t)
	s := r.live(t, "items")
	db.exec(t, "insert into items values (1)", "insert into items values (2)")
	first := s.next(t)
	s.next(t)

	stop()
	r.waitUnready(t, `"check":"postgres"`)
	r.kill9(t)
	r.start(t) // with Postgres away, and two rows in its log
	r.waitUnready(t, `"check":"postgres"`)
	resumed := r.resumed(t, first.id, "items")
	if f := resumed.next(t); !strings.Contains(f.data, `"row":{"id":2}`) {
		t.Errorf("got %s %s, want row 2", f.event, f.data)
	}
	live := r.live(t, "items")
	again()
	r.waitReady(t)
	db.exec(t, "insert into items values (3)", "delete from items where id = 3")
	mark := endMark(t, db, "items")
	for name, s := range map[string]*sse{"resumed": resumed, "live": live} {
		wantLines(t, name, s.readTo(t, mark), []string{`1.0 items insert {"id":3} {"id":3}`, `2.0 items delete {"id":3}`})
	}
}

// waitUnready waits until /readyz answers 503 with a reason.
func (r *relay) waitUnready(t testing.TB, reason string) {
	t.Helper()
	eventually(t, func() string {
		status, body, err := r.get(r.adminAt + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, reason) {
			return fmt.Sprintf("/readyz: %d %s %v, want 503 with %s", status, body, err, reason)
		}
		return ""
	})
}

// waitCount waits until the text occurs n times.
func (tr *transcript) waitCount(t testing.TB, text string, n int) {
	t.Helper()
	eventually(t, func() string {
		if got := strings.Count(tr.String(), text); got < n {
			return fmt.Sprintf("%q occurs %d times of %d in:\n%s", text, got, n, tr)
		}
		return ""
	})
}

// proxy stands between walrelay and Postgres and harms replication connections.
type proxy struct {
	listener net.Listener
	server   string
	wait     sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	streams map[*link]struct{} // those in links that replicate
}

// link is a connection through a proxy.
type link struct {
	client, server net.Conn
	mu             sync.Mutex
	left           int  // bytes to the client until the cut; -1: no cut
	silent         bool // nothing is handed on in either direction
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server, links: map[*link]struct{}{}, streams: map[*link]struct{}{}}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for k := range p.links {
			k.close()
		}
		p.mu.Unlock()
		p.wait.Wait()
	})
	return p
}

// url is that of db, through the proxy.
func (p *proxy) url(t testing.TB, db *database) string {
	t.Helper()
	u, err := url.Parse(db.url())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
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
		k := &link{client: client, server: server, left: -1}
		p.mu.Lock()
		p.links[k] = struct{}{}
		p.mu.Unlock()
		p.wait.Go(func() { p.carry(k) })
	}
}

// carry hands on in both directions until one of them ends.
func (p *proxy) carry(k *link) {
	defer func() {
		p.mu.Lock()
		delete(p.links, k)
		delete(p.streams, k)
		p.mu.Unlock()
	}()
	startup, err := readStartup(k.client)
	if err == nil {
		_, err = k.server.Write(startup)
	}
	if err != nil {
		k.close()
		return
	}
	if strings.Contains(string(startup), "\x00replication\x00") {
		p.mu.Lock()
		p.streams[k] = struct{}{}
		p.mu.Unlock()
	}
	p.wait.Go(func() { k.copy(k.server, k.client, false) })
	k.copy(k.client, k.server, true)
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

func (k *link) copy(to, from net.Conn, toClient bool) {
	defer func() {
		if _, silent := k.pass(0, false); silent && toClient {
			from.Close() // the client is not told
			return
		}
		k.close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		rest, silent := k.pass(n, toClient)
		if silent {
			continue
		}
		if _, err := to.Write(buf[:rest]); err != nil || rest < n {
			return
		}
	}
}

// pass says how many of n bytes may go on.
func (k *link) pass(n int, toClient bool) (rest int, silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !toClient || k.left < 0 {
		return n, k.silent
	}
	rest = min(n, k.left)
	k.left -= rest
	return rest, k.silent
}

func (k *link) close() {
	k.client.Close()
	k.server.Close()
}

func (p *proxy) eachStream(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.streams {
		k.mu.Lock()
		f(k)
		k.mu.Unlock()
	}
}

// cutStreams ends the replication connections after so many bytes more.
func (p *proxy) cutStreams(after int) { p.eachStream(func(k *link) { k.left = after }) }

// silenceStreams lets nothing through any more on the replication connections that
// are there, and closes nothing.
func (p *proxy) silenceStreams() { p.eachStream(func(k *link) { k.silent = true }) }
