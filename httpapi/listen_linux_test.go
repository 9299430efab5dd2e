package httpapi

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Accepted sockets inherit the bound on unacknowledged data from the listener.
func TestAcceptedSocketsBoundAcks(t *testing.T) {
	l, err := listen(t.Context(), "http.listen", "127.0.0.1:0", 7*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	var serr error
	if err := raw.Control(func(fd uintptr) { ms, serr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	if ms != 7000 {
		t.Errorf("TCP_USER_TIMEOUT %d ms, want 7000", ms)
	}
}
