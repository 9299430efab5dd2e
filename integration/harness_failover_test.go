package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
)

// pair is a primary, a standby of it once there is one, and a walrelay that knows
// only a door to whichever is the primary.
type pair struct {
	*relay
	primary, standby *database
	door             *door
}

// newPair makes a cluster with a database and a walrelay that streams from it. The
// standby is made later, so that it can have the slot.
func newPair(t testing.TB, config string, sql ...string) *pair {
	t.Helper()
	p := preparePair(t, config, sql...)
	p.start(t)
	p.waitReady(t)
	return p
}

// preparePair is newPair with a walrelay that is not started.
func preparePair(t testing.TB, config string, sql ...string) *pair {
	t.Helper()
	p := &pair{primary: newDatabaseOn(t, newCluster(t, pgtemp.Options{}), sql...), door: newDoor(t)}
	p.door.leadTo(p.primary)
	p.relay = newRelay(t, p.primary, config)
	p.env = append(p.env, "DATABASE_URL="+p.door.url(t, p.primary))
	return p
}

// slotsSynchronised tells whether the server copies failover slots to standbys by
// itself, and makes walsenders wait for standbys.
func (p *pair) slotsSynchronised() bool { return p.primary.cluster.Version() >= 17 }

// addStandby makes a standby that has walrelay's slot and those named: synchronised
// by Postgres, or before 17 copied as tools do. On 17 and newer walrelay gets nothing
// from then on that the standby has not.
func (p *pair) addStandby(t testing.TB, slots ...string) {
	t.Helper()
	p.addAsynchronousStandby(t, slots...)
	if p.slotsSynchronised() {
		p.primary.exec(t, "alter system set synchronized_standby_slots = 'standby'", "select pg_reload_conf()")
	}
}

// addAsynchronousStandby is addStandby with a primary that does not wait.
func (p *pair) addAsynchronousStandby(t testing.TB, slots ...string) {
	t.Helper()
	p.standby = p.anotherStandby(t, "standby", append(slots, p.primary.name)...)
}

// anotherStandby makes a standby that has copies of the slots.
func (p *pair) anotherStandby(t testing.TB, name string, slots ...string) *database {
	t.Helper()
	opts := pgtemp.StandbyOptions{Name: name, Database: p.primary.name}
	if !p.slotsSynchronised() {
		opts.CopySlots = slots
	}
	standby := p.primary.standby(t, opts)
	if p.slotsSynchronised() {
		p.waitSynchronised(t, standby, slots)
	}
	return standby
}

// addStandbyWithoutSlots makes a standby that has nobody's slot.
func (p *pair) addStandbyWithoutSlots(t testing.TB) {
	t.Helper()
	opts := pgtemp.StandbyOptions{}
	if p.slotsSynchronised() {
		opts.Settings = map[string]string{"sync_replication_slots": "off"}
	}
	p.standby = p.primary.standby(t, opts)
}

// standby is the same database on a new standby of its cluster.
func (d *database) standby(t testing.TB, opts pgtemp.StandbyOptions) *database {
	t.Helper()
	return &database{cluster: pgtest.StartStandby(t, d.cluster, opts), name: d.name}
}

// waitSynchronised waits until the standby's copies of the slots can be used after a
// promotion. The slots must move on for that: walrelay's does by itself.
func (p *pair) waitSynchronised(t testing.TB, standby *database, slots []string) {
	t.Helper()
	eventually(t, func() string {
		p.primary.exec(t, "select pg_log_standby_snapshot()",
			"select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots where failover and not active")
		return standby.value(t, `select string_agg(format('slot %s: synced %s, temporary %s', name, synced, temporary), '; ')
			from unnest(string_to_array($1, ',')) name left join pg_replication_slots on slot_name = name
			where (synced and not temporary and invalidation_reason is null) is not true`, strings.Join(slots, ","))
	})
}

// waitReplayed waits until the standby has all that the primary has written.
func (p *pair) waitReplayed(t testing.TB) {
	t.Helper()
	end := p.primary.walEnd(t)
	eventually(t, func() string {
		if at := lsn(t, p.standby.value(t, "select pg_last_wal_replay_lsn()")); at < end {
			return fmt.Sprintf("the standby has replayed up to %s, the primary has written up to %s", at, end)
		}
		return ""
	})
}

// detach ends the standby's replication: it stays where it is.
func (p *pair) detach(t testing.TB) {
	t.Helper()
	p.standby.exec(t, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
	eventually(t, func() string {
		return p.standby.value(t, "select string_agg('WAL receiver '||pid, ', ') from pg_stat_wal_receiver")
	})
}

// killPrimary ends the primary at once, in the middle of what it does, when the
// standby has all that walrelay has. On 17 and newer Postgres sees to that; before,
// walrelay is cut off first, and the standby gets the rest.
//
// Those who write meanwhile are stopped: some fail.
func (p *pair) killPrimary(t *testing.T, busy ...*writers) {
	t.Helper()
	if !p.slotsSynchronised() {
		p.door.shut()
		for _, w := range busy {
			w.stop(t)
		}
		p.waitReplayed(t)
	}
	p.kill(t)
	for _, w := range busy {
		w.cancel()
		w.wg.Wait()
	}
}

// kill ends the primary, whatever the standby has.
func (p *pair) kill(t testing.TB) {
	t.Helper()
	if err := p.primary.cluster.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// promote makes the standby the primary and lets the door lead there. It gives the
// primary before it.
func (p *pair) promote(t testing.TB) (old *database) {
	t.Helper()
	old = p.promoteUnseen(t)
	p.door.leadTo(p.primary)
	return old
}

// promoteUnseen is promote without the door.
func (p *pair) promoteUnseen(t testing.TB) (old *database) {
	t.Helper()
	if err := p.standby.cluster.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, p.primary, p.standby = p.primary, p.standby, nil
	return old
}

// lineage is that of the relay's log.
func (r *relay) lineage(t testing.TB) eventlog.Lineage {
	t.Helper()
	var state struct {
		Log struct{ Lineage eventlog.Lineage }
	}
	_, body := r.admin(t, "/readyz")
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatalf("/readyz: %v: %s", err, body)
	}
	return state.Log.Lineage
}

// wantLineage checks which timeline the log is on, and how often it began.
func (r *relay) wantLineage(t testing.TB, timeline, born, generation uint32) {
	t.Helper()
	got := r.lineage(t)
	if want := (eventlog.Lineage{SystemID: got.SystemID, Timeline: timeline, Born: born, Generation: generation, Nonce: got.Nonce}); got != want {
		t.Errorf("lineage of the log is %+v, want %+v", got, want)
	}
	if n := strings.Count(r.stderr.String(), "cannot be continued"); n > int(generation)-1 {
		t.Errorf("the log was begun anew %d times:\n%s", n, r.stderr)
	}
}

// wantEnd checks that the stream's next event ends it, for this reason.
func (s *sse) wantEnd(t testing.TB, reason string) {
	t.Helper()
	f := s.next(t)
	if f.event != "end" || eventOf(t, f).Reason != reason {
		t.Fatalf("got %s %s, want end %s", f.event, f.data, reason)
	}
	if rest := s.waitEnd(t); len(rest) > 0 {
		t.Errorf("after the end: %+v", rest)
	}
}

// door is an address that leads to one server after the other, as that of a load
// balancer does, or to none.
type door struct {
	listener net.Listener
	wait     sync.WaitGroup

	mu       sync.Mutex
	server   string // address; empty: the door is shut
	passages map[*passage]struct{}
}

// passage is a connection through a door.
type passage struct {
	client, server net.Conn
	closed         context.Context // done when it is
	close          context.CancelFunc

	mu   sync.Mutex
	left int // bytes that may go to the client; negative: all
}

func newDoor(t testing.TB) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{listener: l, passages: map[*passage]struct{}{}}
	d.wait.Go(d.open)
	t.Cleanup(func() {
		l.Close()
		d.shut()
		d.wait.Wait()
	})
	return d
}

// url is that of db, through the door.
func (d *door) url(t testing.TB, db *database) string {
	t.Helper()
	u, err := url.Parse(db.url())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = d.listener.Addr().String()
	return u.String()
}

// leadTo leads to db's server from now on. Who went in before is cut off.
func (d *door) leadTo(db *database) { d.turn(fmt.Sprintf("127.0.0.1:%d", db.cluster.Port())) }

// shut cuts all off and lets nobody in.
func (d *door) shut() { d.turn("") }

func (d *door) turn(server string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server = server
	for p := range d.passages {
		p.close()
	}
}

// holdAfter lets each of the connections there are have so many bytes more from the
// server, and then none until it is cut off.
func (d *door) holdAfter(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := range d.passages {
		p.mu.Lock()
		p.left = bytes
		p.mu.Unlock()
	}
}

func (d *door) open() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		address := d.server
		d.mu.Unlock()
		server, err := net.Dial("tcp", address)
		if err != nil {
			client.Close()
			continue
		}
		d.enter(client, server, address)
	}
}

// enter carries a connection, unless the door was turned meanwhile.
func (d *door) enter(client, server net.Conn, address string) {
	p := &passage{client: client, server: server, left: -1}
	p.closed, p.close = context.WithCancel(context.Background())
	context.AfterFunc(p.closed, func() {
		client.Close()
		server.Close()
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != address {
		p.close()
		return
	}
	d.passages[p] = struct{}{}
	d.wait.Go(func() {
		p.carry()
		d.mu.Lock()
		delete(d.passages, p)
		d.mu.Unlock()
	})
}

// carry hands on in both directions until one of them ends.
func (p *passage) carry() {
	var both sync.WaitGroup
	both.Go(func() {
		defer p.close()
		_, _ = io.Copy(p.server, p.client) // it ends with the connection, in whatever way
	})
	both.Go(func() {
		defer p.close()
		p.toClient()
	})
	both.Wait()
}

func (p *passage) toClient() {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.server.Read(buf)
		if err != nil {
			return
		}
		some := p.allow(n)
		if _, err := p.client.Write(buf[:some]); err != nil {
			return
		}
		if some < n {
			<-p.closed.Done()
			return
		}
	}
}

// allow says how many of n bytes may go on.
func (p *passage) allow(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < 0 {
		return n
	}
	n = min(n, p.left)
	p.left -= n
	return n
}
