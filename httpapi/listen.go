package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// listen opens a TCP listener. key is the address's name in the configuration.
func listen(ctx context.Context, key, address string, ackTimeout time.Duration) (net.Listener, error) {
	lc := net.ListenConfig{Control: boundAcks(ackTimeout)}
	lc.SetMultipathTCP(false) // it knows no TCP_USER_TIMEOUT
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, listenError(key, address, err)
	}
	return l, nil
}

// listenError says what to do about the errors that operators meet.
func listenError(key, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("%s: %s is taken by another process; stop it (ss -ltnp 'sport = :%s' names it) or choose another address: %w", key, address, port, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: no permission to listen on %s; choose a port above 1023 or grant CAP_NET_BIND_SERVICE: %w", key, address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: no interface of this machine has the address of %s; use :port to listen on all: %w", key, address, err)
	}
	return fmt.Errorf("%s: cannot listen on %q (expected host:port, for example 127.0.0.1:8080): %w", key, address, err)
}
