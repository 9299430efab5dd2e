package httpapi

import (
	"math/rand/v2"
	"time"
)

// between is a random duration in [low, high).
func between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + rand.N(high-low)
}

// around is d ±20 %.
func around(d time.Duration) time.Duration { return between(d-d/5, d+d/5) }

// retryAfterEnd is what a client is told to wait after its stream ended for reason;
// usual is the configured retry. Many streams end at once when walrelay drains.
func retryAfterEnd(reason string, usual time.Duration) time.Duration {
	switch reason {
	case codeDraining, codeUnavailable:
		return comeBackAfter(reason)
	case endRenew, endClaims: // nothing is amiss
		return between(50*time.Millisecond, 500*time.Millisecond)
	case endSigned: // to be answered with 401
		return time.Second
	}
	return around(usual)
}
