package auth

import (
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxFailing bounds the addresses that are remembered. One that is forgotten begins anew.
const maxFailing = 10_000

// failures bounds refused sessions by address: each costs a token of a bucket that fills up
// again within a minute. Safe for concurrent use.
type failures struct {
	perMinute int
	buckets   *lru.Cache[netip.Prefix, *rate.Limiter]
}

// newFailures makes buckets; perMinute 0 or less is no bound.
func newFailures(perMinute int) *failures {
	buckets, _ := lru.New[netip.Prefix, *rate.Limiter](maxFailing) // fails only for a size that is not positive
	return &failures{perMinute: perMinute, buckets: buckets}
}

// neighbours is what shares a bucket: an address or, of IPv6, what one customer gets.
func neighbours(ip string) netip.Prefix {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 32
	if addr = addr.Unmap(); addr.Is6() {
		bits = 64
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// blocked is how long an address must wait; 0: it need not.
func (f *failures) blocked(ip string, now time.Time) time.Duration {
	bucket, ok := f.buckets.Get(neighbours(ip))
	if !ok || f.perMinute <= 0 {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing * float64(time.Minute) / float64(f.perMinute))
}

// failed counts a refused session.
func (f *failures) failed(ip string, now time.Time) {
	if f.perMinute <= 0 {
		return
	}
	who := neighbours(ip)
	bucket, ok := f.buckets.Get(who)
	if !ok {
		fresh := rate.NewLimiter(rate.Limit(float64(f.perMinute)/60), f.perMinute)
		if before, known, _ := f.buckets.PeekOrAdd(who, fresh); known {
			bucket = before
		} else {
			bucket = fresh
		}
	}
	bucket.AllowN(now, 1)
}
