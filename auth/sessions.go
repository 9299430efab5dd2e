package auth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	// Following reports that replication follows the WAL; nil: always.
	Following func() bool
	// Env is os.LookupEnv but in tests.
	Env    func(string) (string, bool)
	Logger *slog.Logger
}

// Sessions knows who is signed in: it resolves requests, keeps what it found for as long as
// streams need it, and ends their streams when the WAL tells that a session is over. Safe
// for concurrent use.
type Sessions struct {
	o   Options
	log *slog.Logger
}

var _ Resolver = (*Sessions)(nil)

// New checks the entries and loads their secrets. Its error has every problem, each with the
// key of the configuration and without any secret.
func New(o Options) (*Sessions, error) { return &Sessions{o: o, log: o.Logger}, nil }

// Run keeps sessions up to date until ctx ends: timers, look-ups that are repeated, key sets.
func (s *Sessions) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Close closes the connections to Postgres, after Run.
func (s *Sessions) Close() {}

// Learn takes in what the tables of the entries are, by schema.name, before the stream
// begins or goes on. An error says which does not fit; its sessions are refused.
func (s *Sessions) Learn(tables map[string]*change.Relation) error { return nil }

// Observe takes in a change of a table that an entry names, in commit order, before any
// reader of the event log can see that change or a later one. c dies when it returns. It
// never blocks on anything but memory.
func (s *Sessions) Observe(c *change.Change) {}

// Resolve finds the session of a request, see Resolver.
func (s *Sessions) Resolve(r *http.Request, c Client) (*Session, error) { return nil, ErrNoSession }

// Register registers the metrics.
func (s *Sessions) Register(r prometheus.Registerer) {}

// Session is what a request has been resolved to: one generation of one session. It is
// never revived once it has ended.
type Session struct {
	claims    Claims
	maxStream time.Duration
	cookies   []string
}

// Claims are those of the user.
func (s *Session) Claims() Claims { return s.claims }

// MaxStream is how long a stream of the session may last; 0: as long as it likes.
func (s *Session) MaxStream() time.Duration { return s.maxStream }

// SetCookies are values of Set-Cookie that the application wants to be set.
func (s *Session) SetCookies() []string { return s.cookies }

// Attach ties a stream to the session: the session ends it when it is over itself, and
// pauses it while it is not known whether it is. A session that has ended already ends the
// stream at once. detach must be called when the stream is over. The error is a
// *LimitError: the session or its user has too many streams.
func (s *Session) Attach(st Stream) (detach func(), err error) { return func() {}, nil }

// Stream is what a session needs of a stream. Its methods never block, may be called by any
// goroutine and after the stream is over.
type Stream interface {
	// End ends the stream for reason. What is queued is dropped: nothing is written after
	// End has returned but what was being written, and the end itself.
	End(reason string)
	// Pause(true) keeps everything that is queued, or will be, from being written until
	// Pause(false).
	Pause(on bool)
}
