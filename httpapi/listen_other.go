//go:build !linux

package httpapi

import (
	"syscall"
	"time"
)

// boundAcks does nothing: only Linux can bound the time without acknowledgements.
// Keep-alive probes and write deadlines find dead peers here, later.
func boundAcks(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
