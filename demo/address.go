package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// addresses are where the processes listen.
type addresses struct {
	public string // of page and streams, as configured: ":8080"
	page   string // the same for a browser on this machine: "localhost:8080"
	admin  string
	shop   string
}

// defaultListen is the address of page and streams unless the user names one.
const defaultListen = ":8080"

// chooseAddresses finds free ports. Only the default one may be replaced; it says so.
func chooseAddresses(ctx context.Context, listen string, s *screen) (a addresses, err error) {
	a.public = listen
	if listen == "" {
		a.public = defaultListen
	}
	switch err := tryListen(ctx, a.public); {
	case err == nil:
	case listen == "" && errors.Is(err, syscall.EADDRINUSE):
		free, err := freeAddress(ctx, ":0")
		if err != nil {
			return a, err
		}
		_, port, _ := net.SplitHostPort(free) // it is a listener's
		s.note(warn, "port 8080 is taken, so this is on port %s; --listen chooses another", port)
		a.public = ":" + port
	default:
		return a, fmt.Errorf("demo: listen on %s: %w; choose another address with --listen", a.public, err)
	}
	if a.admin, err = freeAddress(ctx, "127.0.0.1:0"); err != nil {
		return a, err
	}
	if a.shop, err = freeAddress(ctx, "127.0.0.1:0"); err != nil {
		return a, err
	}
	host, port, err := net.SplitHostPort(a.public)
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	a.page = net.JoinHostPort(host, port)
	return a, err
}

// beside is the page under another name of this machine, if it has one: browsers keep
// cookies by name, so that two users can be signed in at the same time.
func (a addresses) beside() string {
	host, port, err := net.SplitHostPort(a.page)
	if err == nil && host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.page
}

func tryListen(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// freeAddress is an address on which nobody listens.
func freeAddress(ctx context.Context, address string) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("demo: find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
