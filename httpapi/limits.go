package httpapi

import (
	"net/http"
	"net/netip"
	"sync"
)

// limiter counts what clients hold open, in all and per address.
type limiter struct {
	most, mostPerIP int

	mu sync.Mutex
	// Invariant: open is the sum of byIP, and byIP has no zeroes.
	open int
	byIP map[netip.Addr]int
}

func newLimiter(l Limits) *limiter {
	return &limiter{most: l.Connections, mostPerIP: l.PerIP, byIP: map[netip.Addr]int{}}
}

// acquire takes a place for a client at ip; release, called once, gives it back.
// The error is a transient refusal.
func (l *limiter) acquire(ip string) (release func(), err error) {
	key := limitKey(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.most {
		return nil, comeBack(http.StatusServiceUnavailable, codeLimit,
			"all %d connections are in use; raise http.limits.connections or add a node", l.most)
	}
	if l.byIP[key] >= l.mostPerIP {
		return nil, comeBack(http.StatusTooManyRequests, codeLimit,
			"%s holds %d connections, the most that one address may; put several channels on one stream, "+
				"or raise http.limits.per_ip. If the address is a proxy's, name it in http.trusted_proxies and let it send X-Forwarded-For", ip, l.mostPerIP)
	}
	l.open++
	l.byIP[key]++
	return func() { l.release(key) }, nil
}

func (l *limiter) release(key netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byIP[key]--; l.byIP[key] == 0 {
		delete(l.byIP, key)
	}
}

// limitKey is the address, or the /64 network of an IPv6 address: one host has all
// of that. Text that is no address shares one key.
func limitKey(ip string) netip.Addr {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
