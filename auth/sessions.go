package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// Options of Sessions.
type Options struct {
	// Entries are those of `auth:`, in their order.
	Entries []Entry
	// Declared are the claims that rules know.
	Declared []filter.Claim
	// URL is that of the database, as for replication.
	URL    string
	Limits Limits
	// Unlogged are stores, schema.name, of which the WAL tells nothing: they are polled.
	Unlogged []string
	// Following reports that replication follows the WAL; nil: always.
	Following func() bool
	// Env is os.LookupEnv but in tests.
	Env    func(string) (string, bool)
	Logger *slog.Logger
}

const (
	// lookupPatience bounds a look-up with all its repetitions.
	lookupPatience = 5 * time.Second
	// idleFor is how long a session without stream is kept.
	idleFor = 30 * time.Second
	// deafFor is how long sessions of a store count while nobody hears of their end.
	deafFor = 60 * time.Second
	// churn is the least time between two look-ups of a session whose rows keep changing.
	churn = 100 * time.Millisecond
	// maxRefused bounds the refused cookies that are remembered.
	maxRefused = 10_000
)

// Why streams end; DESIGN.md section 5.
const (
	endSignedOut   = "signed_out"
	endClaims      = "claims_changed"
	endUnavailable = "unavailable"
	endRenew       = "renew"
)

// Sessions knows who is signed in: it resolves requests, keeps what it found for as long as
// streams need it, and ends their streams when the WAL tells that a session is over. Safe
// for concurrent use.
//
// Lock order: Sessions.mu before everything that a Stream locks.
type Sessions struct {
	o       Options
	log     *slog.Logger
	entries []entry
	sources []*source
	lookups lookups
	close   func()
	tags    *tagger
	now     func() time.Time
	metrics *metrics

	flights  flights
	slots    *semaphore.Weighted
	failures *failures
	refused  *lru.Cache[tag, refused]
	// run ends look-ups that outlive the request which asked for them.
	run  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	index  index
	recent recent
	open   open
	timers timers
	// queue are sessions to look up again; queued has a value when there are.
	queue  []*Session
	queued chan struct{} // capacity 1
	// deaf is since when replication does not follow; zero: it does.
	deaf time.Time
	// gaps is how often something changed on which look-ups count: changes were missed, a table
	// is another one, other claims are declared. One that began before the last time does not count.
	gaps uint64
	// rings is how often secrets were read again.
	rings uint64
	// relations are the versions that the sources know, by OID.
	relations map[uint32]*change.Relation
	// after and before are reused.
	after, before []change.Value
}

// refused is a cookie that was refused.
type refused struct {
	until  time.Time
	reason Reason
}

// entry is one entry of `auth:`, compiled: a source, a forward, or nobody.
type entry struct {
	Entry
	n       int // of source in Sessions.sources
	source  *source
	forward *forward
}

var _ Resolver = (*Sessions)(nil)

// New checks the entries and loads their secrets. Its error has every problem, each with the
// key of the configuration and without any secret.
func New(o Options) (*Sessions, error) {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Limits.Lookups <= 0 {
		o.Limits.Lookups = 16
	}
	s := &Sessions{o: o, tags: newTagger(), log: o.Logger, now: time.Now, metrics: newMetrics(), index: newIndex(), recent: newRecent(), open: newOpen(o.Limits),
		timers: newTimers(), slots: semaphore.NewWeighted(int64(o.Limits.Lookups)), failures: newFailures(o.Limits.FailedPerMinute),
		queued: make(chan struct{}, 1), relations: map[uint32]*change.Relation{}}
	s.run, s.stop = context.WithCancel(context.Background())
	var err error
	if s.refused, err = lru.New[tag, refused](maxRefused); err != nil {
		return nil, err
	}
	if err := s.compile(); err != nil {
		return nil, err
	}
	db, err := newPostgres(o.URL, o.Limits.Lookups)
	if err != nil {
		return nil, err
	}
	s.lookups, s.close = db, db.close
	return s, nil
}

// compile makes the sources and forwards.
func (s *Sessions) compile() error {
	var problems []error
	for _, e := range s.o.Entries {
		out := entry{Entry: e}
		var err error
		switch {
		case e.Session != nil:
			out.n = len(s.sources)
			out.source, err = s.newSource(e)
			s.sources = append(s.sources, out.source)
		case e.Forward != nil:
			if out.forward, err = newForward(e.Key, e.Forward, s.o.Declared); err == nil {
				out.forward.log, out.forward.now = s.log, s.now
			}
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.entries = append(s.entries, out)
	}
	return errors.Join(problems...)
}

func (s *Sessions) newSource(e Entry) (*source, error) {
	src, err := newSource(e.Key, e.Session, s.o.Env)
	if err != nil {
		return nil, err
	}
	if st := e.Session.Store; st != nil {
		src.polled = slices.Contains(s.o.Unlogged, st.Schema+"."+st.Table)
	}
	if e.Session.JWKS != nil {
		if src.fetcher, err = newKeyFetcher(e.Session.JWKS, nil, s.now, s.log); err != nil {
			return nil, fmt.Errorf("%s.%w", e.Key, err)
		}
		src.keys.set(src.fetcher)
	}
	return src, nil
}

// Run keeps sessions up to date until ctx ends: timers, look-ups that are repeated, key sets.
func (s *Sessions) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	defer s.stop()
	g.Go(func() error { return s.keepTime(ctx) })
	g.Go(func() error { return s.listen(ctx) })
	g.Go(func() error { return s.rereadAll(ctx) })
	g.Go(func() error { return s.forget(ctx) })
	for _, e := range s.entries {
		if e.source != nil && e.source.fetcher != nil {
			g.Go(func() error { return e.source.fetcher.run(ctx) })
		}
	}
	return g.Wait()
}

// Close closes the connections to Postgres and to applications, after Run.
func (s *Sessions) Close() {
	s.stop()
	s.flights.land()
	s.close()
	for _, e := range s.entries {
		if e.forward != nil {
			e.forward.close()
		}
	}
}

// Register registers the metrics, once.
func (s *Sessions) Register(r prometheus.Registerer) {
	if err := s.metrics.register(r, s.figures); err != nil {
		s.log.Error("the metrics of sessions cannot be registered", "cause", err)
	}
}

func (s *Sessions) figures() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return figures{sessions: len(s.index.all), streams: s.open.streams, notes: s.recent.count}
}

// SetSecrets reads the secrets again, at a reload. Streams go on; cookies that only the old
// secrets open are refused from now on. An entry whose secrets cannot be read keeps the old.
func (s *Sessions) SetSecrets() error {
	var problems []error
	for _, src := range s.sources {
		if err := src.setSecrets(s.o.Env); err != nil {
			problems = append(problems, fmt.Errorf("%s.%w", src.key, err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rings++
	s.index.forgetCookies()
	s.refused.Purge()
	return errors.Join(problems...)
}

// SetDeclared takes in other claims, at a reload: sessions end, and come back with them.
func (s *Sessions) SetDeclared(declared []filter.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.EqualFunc(s.o.Declared, declared, func(a, b filter.Claim) bool { return reflect.DeepEqual(a, b) }) {
		return
	}
	s.o.Declared = declared
	s.gaps++
	for _, e := range s.entries {
		if e.forward == nil {
			continue
		}
		if err := e.forward.declare(declared); err != nil {
			s.log.Error("the application's answers are read with the claims that were declared before", "cause", err)
		}
	}
	for one := range s.index.all {
		s.end(one, endClaims, "declared")
	}
}

// declared are the claims that rules know now.
func (s *Sessions) declared() []filter.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Declared
}

// tagOf is the tag of parts in a domain.
func (s *Sessions) tagOf(domain string, parts ...string) tag { return s.tags.of(domain, parts...) }
