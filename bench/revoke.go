package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	// sessionsPerStream is how many sessions there are for each that has a stream.
	sessionsPerStream = 10
	// logoutPause lies between two logouts.
	logoutPause = 20 * time.Millisecond
	// opensAtOnce is how many streams are opened at a time.
	opensAtOnce = 16
)

// revoke measures from a logout in the database to the end of its stream at the client, first in
// a table that nobody else writes to, then while the application is busy.
func (l *lab) revoke(ctx context.Context) error {
	p, err := l.startSessions(ctx, l.sessions*sessionsPerStream)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	defer p.stop()
	r := &revocations{lab: l, relay: p, streams: make([]*sessionStream, l.sessions)}
	defer r.close()
	for _, rate := range slices.Compact([]int{0, l.touches}) {
		if err := r.round(ctx, rate); err != nil {
			return fmt.Errorf("revoke: %d touches/s: %w", rate, err)
		}
	}
	return nil
}

// revocations are the open streams: that of user i+1 at i, nil where it has to be opened.
type revocations struct {
	*lab
	relay   *relay
	streams []*sessionStream
	// quiet is the CPU time of walrelay a second while nobody touches sessions.
	quiet float64
}

func (r *revocations) close() {
	for _, s := range r.streams {
		if s != nil {
			s.close()
		}
	}
}

// logout is one way to be signed out.
type logout struct{ sent, committed, ended time.Time }

// round opens what is missing, ends -logouts sessions and reports.
func (r *revocations) round(ctx context.Context, rate int) error {
	conn, err := r.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `set synchronous_commit = on`); err != nil {
		return err
	}
	if err := r.open(ctx, conn); err != nil {
		return err
	}
	t, err := r.startTouches(ctx, rate, r.sessions*sessionsPerStream)
	if err != nil {
		return err
	}
	before, err := r.figures(ctx)
	if err != nil {
		return err
	}
	if before.lookups < float64(r.sessions) {
		return fmt.Errorf("%.0f look-ups are counted for %d streams", before.lookups, r.sessions)
	}
	logouts, err := r.logOut(ctx, conn)
	if stopped := t.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	after, err := r.figures(ctx)
	if err != nil {
		return err
	}
	r.report(logouts, t, after.since(before))
	return nil
}

// open signs in whoever has no stream, and opens it.
func (r *revocations) open(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `insert into session select 's' || i, sess(i), now() at time zone 'UTC' + interval '1 day' from generate_series(1, $1::int) i
		on conflict (sid) do update set sess = excluded.sess`, r.sessions); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opensAtOnce)
	for i, s := range r.streams {
		if s != nil {
			continue
		}
		g.Go(func() (err error) {
			r.streams[i], err = r.relay.openSession(ctx, i+1)
			return err
		})
	}
	return g.Wait()
}

// logOut ends sessions one after the other, and commits a row of each one's user that must not
// reach it.
func (r *revocations) logOut(ctx context.Context, conn *pgx.Conn) ([]logout, error) {
	statements := []string{`delete from session where sid = $1`, `update session set sess = (sess::jsonb - 'passport')::json where sid = $1`}
	var out []logout
	for n, i := range rand.Perm(len(r.streams))[:r.logouts] {
		s := r.streams[i]
		s.expected.Store(true)
		l := logout{sent: time.Now()}
		if _, err := conn.Exec(ctx, statements[n%len(statements)], fmt.Sprintf("s%d", i+1)); err != nil {
			return nil, err
		}
		l.committed = time.Now()
		if _, err := conn.Exec(ctx, `insert into notes(user_id, body) values ($1, 'after the logout')`, i+1); err != nil {
			return nil, err
		}
		select {
		case <-s.done:
		case <-time.After(30 * time.Second):
			return nil, fmt.Errorf("the stream of user %d is still open 30 s after the logout", i+1)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if s.err != nil {
			return nil, s.err
		}
		l.ended = s.ended
		out = append(out, l)
		s.close()
		r.streams[i] = nil
		time.Sleep(logoutPause)
	}
	return out, r.untouched()
}

// untouched looks whether everybody else's stream is still open.
func (r *revocations) untouched() error {
	for i, s := range r.streams {
		if s == nil {
			continue
		}
		select {
		case <-s.done:
			return fmt.Errorf("the stream of user %d, who is signed in, has ended: %w", i+1, s.err)
		default:
		}
	}
	return nil
}

// figures are walrelay's own.
type figures struct {
	at           time.Time
	cpu, lookups float64
	// ends are sessions that the WAL ended, told the seconds from their commits until then.
	ends, told float64
}

func (f figures) since(was figures) (d delta) {
	return delta{f.at.Sub(was.at), f.cpu - was.cpu, f.lookups - was.lookups, (f.told - was.told) / max(1, f.ends-was.ends)}
}

type delta struct {
	took         time.Duration
	cpu, lookups float64
	// known is the mean time from a commit until walrelay ended the session.
	known float64
}

func (r *revocations) figures(ctx context.Context) (f figures, err error) {
	metrics, err := r.relay.metrics(ctx)
	if err != nil {
		return f, err
	}
	f.at, f.lookups = time.Now(), metrics["walrelay_auth_lookups_seconds_count"]
	f.ends, f.told = metrics["walrelay_auth_revocation_seconds_count"], metrics["walrelay_auth_revocation_seconds_sum"]
	f.cpu, err = r.relay.cpu()
	return f, err
}

// report prints a round. What a touch costs is the CPU time beyond that of the quiet round.
func (r *revocations) report(logouts []logout, t *touches, d delta) {
	var fromSend, fromCommit []time.Duration
	for _, l := range logouts {
		fromSend = append(fromSend, l.ended.Sub(l.sent))
		fromCommit = append(fromCommit, max(0, l.ended.Sub(l.committed)))
	}
	fmt.Printf("revoke %d streams of %d sessions, %.0f touches/s, %d logouts: statement sent to end of stream p50 %.2f ms, p99 %.2f ms, max %.2f ms; COMMIT returned to end p50 %.2f ms, p99 %.2f ms (in walrelay after %.2f ms on average); %.0f look-ups",
		r.sessions, r.sessions*sessionsPerStream, float64(t.done)/t.took.Seconds(), len(logouts), quantile(fromSend, 0.5), quantile(fromSend, 0.99), quantile(fromSend, 1), quantile(fromCommit, 0.5), quantile(fromCommit, 0.99), d.known*1e3, d.lookups)
	if t.rate == 0 {
		r.quiet = d.cpu / d.took.Seconds()
	} else {
		fmt.Printf(", %.1f us CPU a touch", (d.cpu-r.quiet*d.took.Seconds())/float64(t.done)*1e6)
	}
	fmt.Println()
}
