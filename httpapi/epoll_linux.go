package httpapi

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller is an epoll set. The set itself is watched by Go's own poller, so that waiting for it
// takes a goroutine and no thread.
type poller struct {
	fd   int
	file *os.File // owns fd
	raw  syscall.RawConn
	// closed tells wait why Go's poller has let it go.
	closed atomic.Bool
}

// watched are the events of a connection: the peer's end, and room to write where there was none.
// Each is told once, when it happens, so that an idle connection and one with a backlog are
// watched the same way.
const watched = unix.EPOLLRDHUP | unix.EPOLLOUT | unix.EPOLLET

// hungUp are the events behind which nobody reads any more.
const hungUp = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll set: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what os.NewFile goes by
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make an epoll set: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("watch an epoll set: %w", err)
	}
	return p, nil
}

// add watches a socket until it is closed. Its events carry key.
func (p *poller) add(fd int, key uint64) error {
	e := unix.EpollEvent{Events: watched, Fd: int32(uint32(key)), Pad: int32(uint32(key >> 32))}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e)
}

// keyOf is the key of an event's socket.
func keyOf(e *unix.EpollEvent) uint64 { return uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd)) }

// wait waits for events. Its error is os.ErrClosed once the poller is closed.
func (p *poller) wait(events []unix.EpollEvent) (n int, err error) {
	rerr := p.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.EpollWait(int(fd), events, 0)
			if err != unix.EINTR {
				return n != 0
			}
		}
	})
	switch {
	case p.closed.Load():
		return 0, os.ErrClosed
	case rerr != nil:
		return 0, rerr
	}
	return n, err
}

// close ends wait and lets go of the set. Nothing may be added after it.
func (p *poller) close() error {
	p.closed.Store(true)
	return p.file.Close()
}
