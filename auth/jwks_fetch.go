package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// keysRefresh is how often a key set is fetched, give or take a tenth. What the answer
	// says of caching does not count.
	keysRefresh = time.Hour
	// keysPause is the least time between two fetches that tokens with unknown keys cause,
	// and the most between two that fail.
	keysPause = time.Minute
	// keysFirst is the pause after the first failure while there are no keys at all.
	keysFirst = time.Second
	// keysKept is how long a set is believed after its fetch.
	keysKept = 24 * time.Hour
	// keysTimeout bounds one fetch.
	keysTimeout = 10 * time.Second
)

// keyFetcher is a key source that fetches its set from who signs the tokens. Only run
// fetches: when it starts, every hour, and when a token has a key that is not in the set; so
// there is never more than one question under way. A set that cannot be fetched again is
// kept for 24 hours; then there are no keys, and no token is accepted. Safe for concurrent
// use.
type keyFetcher struct {
	url    *url.URL
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	// good is the last set that could be read; nil: none yet.
	good atomic.Pointer[fetchedKeys]
	// wanted: a token had a key that is not in the set.
	wanted atomic.Bool
	// wake tells run to look at wanted. Its capacity is one.
	wake chan struct{}

	mu sync.Mutex
	// flight is the fetch that is under way or about to be; nil: there is none.
	flight *keyFlight
	// asked is when the last fetch began; zero: none did.
	asked time.Time
	// failures are those since the last good set.
	failures int
	// unknown are key ids that were in no set.
	unknown unknownKeys
	// ended: run is over.
	ended bool

	trouble trouble
}

// fetchedKeys is a set and when its fetch began. Immutable.
type fetchedKeys struct {
	set keySet
	at  time.Time
}

// keyFlight is a fetch that others wait for. Its fields but done are guarded by the
// fetcher's mu until done is closed, and never change after that.
type keyFlight struct {
	done chan struct{}
	// begun is zero while run has not taken it up.
	begun time.Time
	err   error
}

// newKeyFetcher makes a source for the set at u, which is https, or http on a loopback
// address. client is nil but in tests; redirects are never followed.
func newKeyFetcher(u *url.URL, client *http.Client, now func() time.Time, log *slog.Logger) (*keyFetcher, error) {
	if err := checkKeyURL(u); err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	if client == nil {
		client = newOutbound(2, keysTimeout, http.ProxyFromEnvironment)
	}
	own := *client
	own.CheckRedirect = stayHere
	return &keyFetcher{url: u, client: &own, now: now, log: log, wake: make(chan struct{}, 1), unknown: newUnknownKeys()}, nil
}

func checkKeyURL(u *url.URL) error {
	switch {
	case u == nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be the https URL of a key set")
	case u.User != nil:
		return errors.New("holds a user name or password, which a set of public keys does not need")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("must be https: who can change keys on their way can sign in as anybody (http is for loopback addresses)")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// candidates are those of the present set. When there are none a newer set is wanted.
func (f *keyFetcher) candidates(kid string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	if good := f.good.Load(); good != nil && f.now().Sub(good.at) < keysKept {
		out = good.set.candidates(kid, algorithm)
	}
	if len(out) == 0 {
		f.want()
	}
	return out
}

// want asks run for a fetch as soon as one is due.
func (f *keyFetcher) want() {
	f.wanted.Store(true)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run fetches until ctx ends.
func (f *keyFetcher) run(ctx context.Context) error {
	defer f.end()
	for ctx.Err() == nil {
		f.fetch(ctx)
		f.rest(ctx, f.due())
	}
	return nil
}

// rest waits until due, or for as long as it must before a wanted fetch.
func (f *keyFetcher) rest(ctx context.Context, due time.Time) {
	timer := time.NewTimer(due.Sub(f.now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-f.wake:
			if soon := f.soonest(); f.wanted.Load() && soon.Before(due) {
				due = soon
				timer.Reset(due.Sub(f.now()))
			}
		}
	}
}

// soonest is when tokens with unknown keys may cause the next fetch.
func (f *keyFetcher) soonest() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked.Add(keysPause)
}

// due is when the next fetch is to be, whoever asks.
func (f *keyFetcher) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.failures == 0:
		return f.asked.Add(jitter(keysRefresh))
	case f.good.Load() != nil:
		return f.asked.Add(keysPause + rand.N(keysPause/10))
	}
	return f.asked.Add(jitter(min(keysPause, keysFirst<<min(f.failures-1, 10))))
}

// jitter is d, up to a tenth of it less or more.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// fetch fetches once and tells who waits for it.
func (f *keyFetcher) fetch(ctx context.Context) {
	f.takeOff()
	set, err := f.download(ctx)
	f.mu.Lock()
	if err == nil {
		f.good.Store(&fetchedKeys{set: set, at: f.asked})
		f.failures = 0
	} else {
		f.failures++
		err = f.explain(err)
	}
	f.land(err)
	f.mu.Unlock()
	switch {
	case err == nil:
		f.trouble.over(f.log, "the keys of tokens can be fetched again")
	case ctx.Err() == nil:
		f.trouble.begin(f.log, f.now(), "the keys of tokens cannot be fetched", err)
	}
}

func (f *keyFetcher) takeOff() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted.Store(false)
	f.asked = f.now()
	if f.flight == nil {
		f.flight = &keyFlight{done: make(chan struct{})}
	}
	f.flight.begun = f.asked
}

// land ends the flight, if there is one. Called with mu held.
func (f *keyFetcher) land(err error) {
	if f.flight == nil {
		return
	}
	if err != nil {
		f.flight.err = &NotReadyError{Cause: err}
	}
	close(f.flight.done)
	f.flight = nil
}

// end lets nobody wait for what will not come.
func (f *keyFetcher) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.land(errKeysEnded)
	f.client.CloseIdleConnections()
}

// explain says what a failure means for tokens.
func (f *keyFetcher) explain(err error) error {
	what := "there are no keys, so no token is accepted"
	if good := f.good.Load(); good != nil {
		end := good.at.Add(keysKept)
		what = "the last keys are too old, so no token is accepted"
		if f.now().Before(end) {
			what = "the last keys are used until " + end.UTC().Format(time.RFC3339)
		}
	}
	return fmt.Errorf("fetch keys from %s: %w; %s", address(f.url), err, what)
}
