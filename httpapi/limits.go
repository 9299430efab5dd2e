package httpapi

import (
	"net/http"
	"net/netip"
	"sync"

	"github.com/walrelay/walrelay/slimmap"
)

// limiter counts what clients hold open, in all and per address.
type limiter struct {
	most, mostPerIP int

	mu sync.Mutex
	// Invariant: open is the sum of byIP, and byIP has no zeroes.
	open int
	byIP map[netip.Addr]int
	peak int // of byIP, for slimmap
}

func newLimiter(l Limits) *limiter {
	return &limiter{most: l.Connections, mostPerIP: l.PerIP, byIP: map[netip.Addr]int{}}
}

// place is what a client has acquired: its address, if that is one.
type place struct{ netip.Addr }

// acquire takes a place for a client at ip, which is given to release once. The error is a transient
// refusal.
func (l *limiter) acquire(ip string) (place, error) {
	p := place{addressOf(ip)}
	key := p.key()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.most {
		return place{}, comeBack(http.StatusServiceUnavailable, codeLimit,
			"all %d connections are in use; raise http.limits.connections or add a node", l.most)
	}
	if l.byIP[key] >= l.mostPerIP {
		return place{}, comeBack(http.StatusTooManyRequests, codeLimit,
			"%s holds %d connections, the most that one address may; put several channels on one stream, "+
				"or raise http.limits.per_ip. If the address is a proxy's, name it in http.trusted_proxies and let it send X-Forwarded-For", ip, l.mostPerIP)
	}
	l.open++
	l.byIP[key]++
	return p, nil
}

func (l *limiter) release(p place) {
	key := p.key()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byIP[key]--; l.byIP[key] == 0 {
		slimmap.Delete(&l.byIP, &l.peak, key)
	}
}

// addressOf is the address that a text names, or none.
func addressOf(ip string) netip.Addr {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// key is the address, or the /64 network of an IPv6 address: one host has all of that. Texts that are no
// address share one key.
func (p place) key() netip.Addr {
	if p.Is6() {
		if network, err := p.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return p.Addr
}
