package httpapi

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeOver takes the socket of a connection out of Go's poller: fd is the caller's, and does not
// block. The connection itself is closed, without an end of what it carried.
func takeOver(conn net.Conn) (fd int, err error) {
	defer func() { _ = conn.Close() }() // of which only the descriptor is left
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return -1, fmt.Errorf("take over a connection: %T is no TCP socket", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("take over a connection: %w", err)
	}
	var derr error
	if err := raw.Control(func(f uintptr) { fd, derr = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, fmt.Errorf("take over a connection: %w", err)
	}
	if derr != nil {
		return -1, fmt.Errorf("take over a connection: dup: %w", derr)
	}
	return fd, nil
}

// transmit writes what the socket takes. It never blocks, so Go's scheduler is not told of it: that
// costs as much as a tenth of the write.
func transmit(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// maxDiscard bounds how often discardInput reads.
const maxDiscard = 64

// discardInput reads what the client has sent behind its request. To close a socket with that unread
// would reset the connection, and the client could lose the end of its stream.
func discardInput(fd int, scratch []byte) {
	for range maxDiscard {
		if n, _, err := unix.Recvfrom(fd, scratch, unix.MSG_DONTWAIT); n <= 0 || err != nil {
			return
		}
	}
}

// endOfSocket is the reason for which a socket has hung up.
func endOfSocket(fd int) string {
	if errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno == int(unix.ETIMEDOUT) {
		return endSlow
	}
	return endClient
}

// endOfSend is the reason for which a write failed.
func endOfSend(err error) string {
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return endClient
	case errors.Is(err, unix.ETIMEDOUT): // TCP_USER_TIMEOUT
		return endSlow
	}
	return endWrite
}
