package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floor is the least that a server can do which sends each event as it comes: one thread, one
// epoll instance, one write(2) per event and connection, nothing kept, nothing allocated. GET
// subscribes, POST publishes its body to all who have. It ends with the pipe that
// nobody writes to, its standard input.
//
// It is a process of its own, this program with other arguments: see floorCommand.
type floor struct {
	listener, epoll, pipe int
	conns                 []*floorConn // by descriptor
	readers               []*floorConn // those who have subscribed
	last                  uint64       // id of the last event
	in, frame             []byte       // what is read and sent now
}

// floorConn is a connection to the floor.
type floorConn struct {
	fd int
	// in is a request that is not complete, out what the socket did not take. While out has
	// something the epoll instance waits for EPOLLOUT.
	in, out []byte
	// place is that in readers, -1 for one that has not subscribed.
	place int
}

const (
	floorStream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n"
	floorTaken  = "HTTP/1.1 204 No Content\r\n\r\n"
	// floorBacklog bounds what one connection does not read.
	floorBacklog = 64 << 20
)

// serveFloor listens at addr until the pipe ends.
func serveFloor(addr string, pipe int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	f := &floor{pipe: pipe, in: make([]byte, 64<<10)}
	if err := f.listen(&unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return fmt.Errorf("floor: listen at %s: %w", addr, err)
	}
	defer f.close()
	if err := f.run(); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return nil
}

// close closes all that is open; nothing is lost with it.
func (f *floor) close() {
	for _, c := range f.conns {
		if c != nil {
			_ = unix.Close(c.fd)
		}
	}
	_, _ = unix.Close(f.listener), unix.Close(f.epoll)
}

func (f *floor) listen(addr unix.Sockaddr) (err error) {
	if f.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(f.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(f.listener, addr); err != nil {
		return err
	}
	if err := unix.Listen(f.listener, maxOpening*2); err != nil {
		return err
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := f.watch(unix.EPOLL_CTL_ADD, f.pipe, unix.EPOLLIN); err != nil {
		return fmt.Errorf("its end cannot be told, standard input must be a pipe: %w", err)
	}
	return f.watch(unix.EPOLL_CTL_ADD, f.listener, unix.EPOLLIN)
}

func (f *floor) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(f.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (f *floor) run() error {
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			switch fd := int(e.Fd); fd {
			case f.pipe:
				return nil
			case f.listener:
				if err := f.accept(); err != nil {
					return err
				}
			default:
				f.serve(f.conns[fd], e.Events)
			}
		}
	}
}

// accept takes all connections that wait.
func (f *floor) accept() error {
	for {
		fd, _, err := unix.Accept4(f.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		for len(f.conns) <= fd {
			f.conns = append(f.conns, nil)
		}
		f.conns[fd] = &floorConn{fd: fd, place: -1}
		if err := f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
			return err
		}
	}
}

// serve does what a connection is ready for. c is nil where it was dropped meanwhile.
func (f *floor) serve(c *floorConn, events uint32) {
	if c != nil && events&unix.EPOLLOUT != 0 {
		f.flush(c)
	}
	if c == nil || f.conns[c.fd] != c || events&^unix.EPOLLOUT == 0 {
		return
	}
	n, err := unix.Read(c.fd, f.in)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil, n == 0:
		f.drop(c)
	default:
		c.in = append(c.in, f.in[:n]...)
		for f.request(c) {
		}
	}
}

// request answers the first request of c.in and reports whether there was a whole one.
func (f *floor) request(c *floorConn) bool {
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 || f.conns[c.fd] != c {
		return false
	}
	if bytes.HasPrefix(c.in, []byte("GET ")) {
		c.in, c.place, f.readers = nil, len(f.readers), append(f.readers, c)
		f.send(c, []byte(floorStream))
		return false
	}
	body := end + 4
	size := contentLength(c.in[:end])
	if len(c.in) < body+size {
		return false
	}
	f.publish(c.in[body : body+size])
	c.in = c.in[:copy(c.in, c.in[body+size:])]
	f.send(c, []byte(floorTaken))
	return true
}

// contentLength reads that of a request's head; 0 where there is none.
func contentLength(head []byte) int {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			n, _ := number(bytes.TrimSpace(value), 10)
			return int(n)
		}
	}
	return 0
}

// publish sends an event to all readers. Those whose connections break leave the list.
func (f *floor) publish(data []byte) {
	f.last++
	b := append(f.frame[:0], "id: "...)
	b = strconv.AppendUint(b, f.last, 10)
	b = append(append(append(b, "\ndata: "...), data...), "\n\n"...)
	f.frame = b
	for i := len(f.readers) - 1; i >= 0; i-- { // a reader that goes is replaced by the last one
		f.send(f.readers[i], b)
	}
}

// send writes at once what the socket takes, and keeps the rest.
func (f *floor) send(c *floorConn, b []byte) {
	if len(c.out) == 0 {
		n, errno := rawWrite(c.fd, b)
		if errno != 0 && errno != unix.EAGAIN {
			f.drop(c)
			return
		}
		if n == len(b) {
			return
		}
		b = b[n:]
		if f.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT) != nil {
			f.drop(c)
			return
		}
	}
	if c.out = append(c.out, b...); len(c.out) > floorBacklog {
		f.drop(c)
	}
}

// flush writes what was kept.
func (f *floor) flush(c *floorConn) {
	if len(c.out) == 0 {
		return
	}
	n, errno := rawWrite(c.fd, c.out)
	if errno != 0 && errno != unix.EAGAIN {
		f.drop(c)
		return
	}
	if c.out = c.out[:copy(c.out, c.out[n:])]; len(c.out) == 0 && f.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP) != nil {
		f.drop(c)
	}
}

func (f *floor) drop(c *floorConn) {
	if c.place >= 0 {
		last := f.readers[len(f.readers)-1]
		f.readers[c.place], last.place = last, c.place
		f.readers = f.readers[:len(f.readers)-1]
	}
	f.conns[c.fd] = nil
	_ = unix.Close(c.fd) // nothing is lost with it
}

// rawWrite is one write without the hooks of Go's scheduler, which has no other work here. b must
// not be empty.
func rawWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
