package httpapi

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boundAcks makes the kernel give up a connection whose peer acknowledges nothing
// for so long. Without it a client that vanished from the network holds its stream
// for a quarter of an hour: heartbeats are small, so the send buffer never fills
// and no write deadline is met. Accepted sockets inherit it.
func boundAcks(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var serr error
		if err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		}); err != nil {
			return err
		}
		if errors.Is(serr, unix.ENOPROTOOPT) {
			return nil // a sandbox's network stack; keep-alive probes do it there, later
		}
		return serr
	}
}
