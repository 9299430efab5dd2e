package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

var errKeysEnded = errors.New("walrelay is stopping")

// decodeFresh decodes a token and, when its key is unknown, waits for a newer key set and
// decodes again. A nil fetcher only decodes. Errors: a refusal, or *NotReadyError: it cannot
// be said now whether the token is good.
func (f *keyFetcher) decodeFresh(ctx context.Context, d decoder, c cookie, now time.Time) (decoded, error) {
	if f == nil {
		return d.decode(c, now)
	}
	seen := f.good.Load()
	out, err := d.decode(c, now)
	if reason, _ := ReasonOf(err); reason != UnknownKey {
		return out, err
	}
	if err := f.await(ctx, tokenKeyID(c.value), seen); err != nil {
		return decoded{}, err
	}
	return d.decode(c, f.now())
}

// await waits for a newer set than seen after a decoder has answered UnknownKey for a token
// with this key id. nil: decode once more, and believe the answer. An error is a *NotReadyError: the
// set cannot be fetched, or has been so lately that it will be again only later, and may
// have the key then.
func (f *keyFetcher) await(ctx context.Context, kid string, seen *fetchedKeys) error {
	flight, err := f.join(kid, seen)
	if flight == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	select {
	case <-flight.done:
		return flight.err
	case <-ctx.Done():
		return &NotReadyError{Cause: fmt.Errorf("wait for keys from %s: %w", address(f.url), ctx.Err())}
	}
}

// join is the fetch to wait for. Neither fetch nor error: there is a newer set than seen
// already, or the key id is known to be unknown, as the present set was fetched after somebody
// had asked for it.
func (f *keyFetcher) join(kid string, seen *fetchedKeys) (*keyFlight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	switch {
	case f.ended:
		return nil, &NotReadyError{Cause: errKeysEnded}
	case f.good.Load() != seen:
		return nil, nil
	case f.flight != nil && !f.flight.begun.IsZero():
		f.unknown.note(kid, f.flight.begun)
		return f.flight, nil
	case f.flight != nil, now.Sub(f.asked) >= keysPause:
		f.unknown.note(kid, now)
		return f.book(), nil
	case f.failures == 0 && f.unknown.before(kid, f.asked):
		return nil, nil
	}
	f.unknown.note(kid, now)
	f.want()
	return nil, &NotReadyError{Cause: fmt.Errorf("keys from %s are not fetched more than once a minute", address(f.url))}
}

// book is the fetch that run is about to begin. Called with mu held.
func (f *keyFetcher) book() *keyFlight {
	if f.flight == nil {
		f.flight = &keyFlight{done: make(chan struct{})}
	}
	f.want()
	return f.flight
}

// maxUnknownKeys bounds what invented key ids may fill. Who is forgotten waits for another
// fetch.
const maxUnknownKeys = 1024

// unknownKeys are key ids, hashed because of their length, and when they were first asked
// for.
type unknownKeys struct {
	times *simplelru.LRU[[sha256.Size]byte, time.Time]
}

func newUnknownKeys() unknownKeys {
	// The only error is a size that is not positive.
	times, _ := simplelru.NewLRU[[sha256.Size]byte, time.Time](maxUnknownKeys, nil)
	return unknownKeys{times: times}
}

func (u unknownKeys) note(kid string, at time.Time) {
	id := sha256.Sum256([]byte(kid))
	if _, known := u.times.Get(id); !known {
		u.times.Add(id, at)
	}
}

// before reports whether the key id was asked for when a set was fetched at asked.
func (u unknownKeys) before(kid string, asked time.Time) bool {
	at, known := u.times.Get(sha256.Sum256([]byte(kid)))
	return known && !at.After(asked)
}

// tokenKeyID is the kid of a token, empty when it names none. The token is whatever a
// decoder of tokens has refused with UnknownKey, so it can be read.
func tokenKeyID(value string) string {
	if text, err := supabaseToken(value); err == nil {
		value = text
	}
	header, err := tokenHeader(value)
	if err != nil {
		return ""
	}
	kid, _ := header["kid"].(string)
	return kid
}
