package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxOpening bounds the connections without an answer: all come at once, but fewer
// than the listener's queue holds (net.core.somaxconn), or the kernel's
// retransmissions after a second would be measured.
const maxOpening = 2000

// perSource is how many clients have the same address: a port is not free again for a minute
// after its connection, and there are 28,000 for each address.
const perSource = 5000

// fleet is many clients on one goroutine and one epoll instance, so that the clients
// cost little beside walrelay, which shares the machine with them. All fields but the
// channels and the atomic ones belong to the goroutine of run.
type fleet struct {
	clients []*client
	addr    unix.SockaddrInet4
	host    string
	epoll   int
	fds     []int // by client, -1 when closed
	unseen  []int // clients to connect
	opening int   // connected, without ready
	most    int   // bounds opening
	buf     []byte

	// began, late, times and reads are those of the goal: when it was set, how many
	// clients are below it, how long the others took, and the reads since.
	began time.Time
	late  int
	times []time.Duration
	reads int
	done  chan struct{}

	// rows and bytes are what all clients have got. moved has a value after rows has risen.
	rows, bytes atomic.Int64
	moved       chan struct{}

	calls chan func()
	quit  bool
	dead  chan struct{} // closed when run has returned err
	err   error
}

// newFleet starts a fleet of clients for the server at addr, 127.0.0.1:port; close it.
func newFleet(addr string, clients []*client) (*fleet, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	f := &fleet{clients: clients, host: addr, epoll: ep, fds: slices.Repeat([]int{-1}, len(clients)), most: maxOpening, buf: make([]byte, 256<<10),
		addr: unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}, moved: make(chan struct{}, 1), calls: make(chan func()), dead: make(chan struct{})}
	go func() { defer close(f.dead); f.err = f.run() }()
	return f, nil
}

// do runs call between two events; it fails when the fleet has ended.
func (f *fleet) do(call func()) error {
	done := make(chan struct{})
	select {
	case f.calls <- func() { call(); close(done) }:
		<-done
		return nil
	case <-f.dead:
		return f.err
	}
}

// await waits until nobody is late.
func (f *fleet) await(timeout time.Duration) error {
	var done chan struct{}
	if err := f.do(func() { done = f.done }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-f.dead:
		return f.err
	case <-time.After(timeout):
	}
	var late error
	if err := f.do(func() { late = f.whoIsLate() }); err != nil {
		return err
	}
	return fmt.Errorf("after %v: %w", timeout, late)
}

func (f *fleet) whoIsLate() error {
	for i, c := range f.clients {
		if c.late {
			return fmt.Errorf("%d clients are late, the first is client %d of %s: row %d of %d, live: %t", f.late, i, c.channel, c.row, c.goal, c.live)
		}
	}
	return errors.New("nobody is late any more")
}

// close ends the fleet and its connections. The error is what a client found, or nil.
func (f *fleet) close() error {
	_ = f.do(func() { f.quit = true }) // fails where the fleet has ended by itself
	<-f.dead
	return f.err
}

// aim sets a goal for each client. It is called by do.
func (f *fleet) aim(goal func(i int) int64) {
	f.began, f.late, f.times, f.reads, f.done = time.Now(), 0, f.times[:0], 0, make(chan struct{})
	for i, c := range f.clients {
		c.goal, c.late = goal(i), true
		if !c.arrived() {
			f.late++
		}
	}
	if f.late == 0 {
		close(f.done)
	}
}

// connect opens all connections. It is called by do.
func (f *fleet) connect() {
	f.unseen = f.unseen[:0]
	for i := range f.clients {
		f.unseen = append(f.unseen, i)
	}
}

// drop closes all connections at once. It is called by do.
func (f *fleet) drop() {
	f.unseen, f.opening = f.unseen[:0], 0
	for i, fd := range f.fds {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing is lost with it
			f.fds[i], f.clients[i].live = -1, false
		}
	}
}

// run serves the connections and calls until an error or close.
func (f *fleet) run() error {
	defer func() {
		f.drop()
		_ = unix.Close(f.epoll) // nothing is lost with it
	}()
	events := make([]unix.EpollEvent, 256)
	for !f.quit {
		select {
		case call := <-f.calls:
			call()
			continue
		default:
		}
		if err := f.open(); err != nil {
			return err
		}
		n, err := unix.EpollWait(f.epoll, events, 5)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		if err := f.readAll(events[:max(n, 0)]); err != nil {
			return err
		}
	}
	return nil
}

// readAll takes in what has come for the clients of events, and says so in rows and moved.
func (f *fleet) readAll(events []unix.EpollEvent) error {
	var rows int64
	for _, e := range events {
		c := f.clients[e.Fd]
		before := c.row
		if err := f.read(int(e.Fd)); err != nil {
			return fmt.Errorf("client %d of %s: %w", e.Fd, c.channel, err)
		}
		rows += c.row - before
	}
	if rows == 0 {
		return nil
	}
	f.rows.Add(rows)
	select {
	case f.moved <- struct{}{}:
	default:
	}
	return nil
}

// open connects clients and sends their requests, as many as may be opening.
func (f *fleet) open() error {
	for len(f.unseen) > 0 && f.opening < f.most {
		i := f.unseen[0]
		f.unseen = f.unseen[1:]
		if err := f.dial(i); err != nil {
			return fmt.Errorf("connect client %d: %w", i, err)
		}
		f.opening++
	}
	return nil
}

// dial connects over loopback, which takes no time while the listener's queue has
// room.
func (f *fleet) dial(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f.fds[i] = fd
	if len(f.clients) > perSource {
		if err := bindTo(fd, i/perSource); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, &f.addr); err != nil {
		return err
	}
	req := f.clients[i].begin(f.host)
	if n, err := unix.Write(fd, req); err != nil || n < len(req) {
		return fmt.Errorf("wrote %d of %d bytes: %w", n, len(req), err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}) // Fd is ours to fill
}

// bindTo gives a socket the n-th address of loopback, and leaves the port to connect.
func bindTo(fd, n int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(n + 1)}})
}

// read takes in what has come for a client.
func (f *fleet) read(i int) error {
	c := f.clients[i]
	n, err := unix.Read(f.fds[i], f.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server closed the connection")
	}
	f.reads++
	f.bytes.Add(int64(n))
	was := c.live
	if err := c.feed(f.buf[:n]); err != nil {
		return err
	}
	if c.live && !was {
		f.opening--
	}
	if c.arrived() {
		f.times = append(f.times, time.Since(f.began))
		if f.late--; f.late == 0 {
			close(f.done)
		}
	}
	return nil
}
