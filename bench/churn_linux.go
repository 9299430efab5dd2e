package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// churn is clients that come and go, each with a habit. All check what they get.
type churn struct {
	relay *relay
	feed  *feed
	desk  *desk
	// nap is how long those are away at most who come back from far behind, patience how long
	// a client waits for what is committed.
	nap, patience time.Duration

	h2     *http.Client
	polls  *http.Client
	habits []*habit
}

// habit is what some people do again and again.
type habit struct {
	name   string
	people int
	// idle: a visit is long, and for walrelay as that of a tab.
	idle   bool
	visit  func(*visitor, context.Context) error
	visits atomic.Int64
}

// visitor is one of the people.
type visitor struct {
	*churn
	// c is the page that is open, or was; nil: none.
	c *client
}

// visitPatience is the patience of the clients of a soak.
const visitPatience = time.Minute

func newChurn(p *relay, f *feed, d *desk, nap time.Duration) *churn {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	c := &churn{relay: p, feed: f, desk: d, nap: nap, patience: visitPatience,
		h2: &http.Client{Transport: &http.Transport{Protocols: &h2}}, polls: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	c.habits = []*habit{
		{name: "tabs", people: 150, visit: func(v *visitor, ctx context.Context) error { return v.tab(ctx, overHTTP1) }},
		{name: "tabs over HTTP/2", people: 40, visit: func(v *visitor, ctx context.Context) error { return v.tab(ctx, overHTTP2) }},
		{name: "back from far behind", people: 20, visit: (*visitor).napper},
		{name: "never read", people: 10, idle: true, visit: func(v *visitor, ctx context.Context) error { return v.staller(ctx, overHTTP1) }},
		{name: "never read over HTTP/2", people: 2, idle: true, visit: func(v *visitor, ctx context.Context) error { return v.staller(ctx, overHTTP2) }},
		{name: "long polls", people: 20, visit: (*visitor).poller},
		{name: "sign in and out", people: 40, visit: (*visitor).member},
	}
	return c
}

func (c *churn) people() (n int) {
	for _, h := range c.habits {
		n += h.people
	}
	return n
}

func (c *churn) String() string {
	var parts []string
	for _, h := range c.habits {
		parts = append(parts, fmt.Sprintf("%s %d", h.name, h.visits.Load()))
	}
	return strings.Join(parts, ", ")
}

// close closes connections that nobody uses any more.
func (c *churn) close() {
	c.h2.CloseIdleConnections()
	c.polls.CloseIdleConnections()
}

// once lets one of each habit visit once.
func (c *churn) once(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range c.habits {
		if h.idle {
			continue
		}
		g.Go(func() error { return h.visit(&visitor{churn: c}, ctx) })
	}
	err := g.Wait()
	c.close()
	return err
}

// coming is churn that goes on.
type coming struct {
	// failed is closed when somebody found what should not be.
	failed <-chan struct{}
	// stop ends all visits and gives the first error.
	stop func() error
}

// start lets everybody come and go until stopped.
func (c *churn) start(ctx context.Context) coming {
	ctx, quit := context.WithCancel(ctx)
	g, failed := errgroup.WithContext(ctx)
	for _, h := range c.habits {
		for range h.people {
			g.Go(func() error { return c.keep(failed, h) })
		}
	}
	return coming{failed.Done(), sync.OnceValue(func() error { quit(); return g.Wait() })}
}

// keep lets one of the people visit again and again.
func (c *churn) keep(ctx context.Context, h *habit) error {
	v := &visitor{churn: c}
	for ctx.Err() == nil {
		if pause(ctx, upTo(2*time.Second)) != nil {
			break
		}
		if err := h.visit(v, ctx); ctx.Err() != nil {
			break // and with it, what was under way
		} else if err != nil {
			return fmt.Errorf("somebody who does %q: %w", h.name, err)
		}
		h.visits.Add(1)
	}
	return nil
}

func upTo(d time.Duration) time.Duration { return rand.N(d) + 1 }

func chance(percent int) bool { return rand.N(100) < percent }

// newcomer has a page of a user's rows that is complete up to now.
func (v *visitor) newcomer(ctx context.Context, c *client) (*client, error) {
	// A query that is cut off closes its connection, which others use on.
	lsn, rows, _, err := v.feed.mark(context.WithoutCancel(ctx))
	c.id, c.row = append(c.id[:0], lsn...), rows[c.user]
	return c, err
}

// tab is a page that is opened, or opened again, and closed without a word.
func (v *visitor) tab(ctx context.Context, by transport) (err error) {
	switch {
	case v.c != nil && chance(75):
	case chance(50):
		v.c = userClient(rand.N(soakUsers))
		v.c.anyRow = true
	default:
		if v.c, err = v.newcomer(ctx, userClient(rand.N(soakUsers))); err != nil {
			return err
		}
	}
	if chance(20) {
		return v.stay(ctx, by, v.c, upTo(time.Second), false)
	}
	return v.stay(ctx, by, v.c, upTo(10*time.Second), true)
}

// napper comes back after a long time.
func (v *visitor) napper(ctx context.Context) error {
	c, err := v.newcomer(ctx, userClient(rand.N(soakUsers)))
	if err != nil {
		return err
	}
	if err := pause(ctx, upTo(v.nap)); err != nil {
		return err
	}
	return v.stay(ctx, overHTTP1, c, upTo(time.Second), true)
}

// stay reads for a time; who is patient also until everything has come that was committed before.
func (v *visitor) stay(ctx context.Context, by transport, c *client, stay time.Duration, patient bool) error {
	rows, _ := v.feed.count()
	goal := rows[c.user]
	if c.anyRow {
		goal = 0
	}
	began, limit := time.Now(), stay
	if patient {
		limit += v.patience
	}
	s, err := by(ctx, v.churn, c, 0)
	if err != nil {
		return err
	}
	defer s.close()
	late := time.AfterFunc(limit, s.leave)
	defer late.Stop()
	for {
		err := s.next()
		arrived := c.live && c.row >= goal
		switch {
		case err != nil && !s.left.Load():
			return fmt.Errorf("%s: %w", c.channel, err)
		case err != nil && patient && !arrived:
			return fmt.Errorf("%s: row %d of %d after %v, live: %t", c.channel, c.row, goal, limit, c.live)
		case err != nil, patient && arrived && time.Since(began) > stay:
			return nil
		}
	}
}

// staller opens a page of all rows and never reads on.
func (v *visitor) staller(ctx context.Context, by transport) error {
	c := newClient("feed", "")
	s, err := by(ctx, v.churn, c, smallWindow)
	if err != nil {
		return err
	}
	defer s.close()
	return pause(ctx, 10*time.Second+upTo(50*time.Second))
}

// member signs in, looks at the own rows some times, and signs out: with the page open, which must
// end then, or without.
func (v *visitor) member(ctx context.Context) error {
	user := 1 + rand.N(soakUsers-1)
	session, err := v.desk.signIn(ctx, user)
	if err != nil {
		return err
	}
	c, err := v.newcomer(ctx, ownClient(user, sessionCookie(session)))
	if err != nil {
		return err
	}
	for range 1 + rand.N(3) {
		if err := v.stay(ctx, overHTTP1, c, upTo(3*time.Second), true); err != nil {
			return err
		}
	}
	if chance(30) {
		_, err = v.desk.signOut(ctx, session)
	} else {
		err = v.signedOut(ctx, c, session)
	}
	if err != nil {
		return err
	}
	if chance(75) { // walrelay remembers who was refused: it would grow until it forgets the first
		return nil
	}
	return v.refused(ctx, c)
}

// signedOut ends the session of a page that is open.
func (v *visitor) signedOut(ctx context.Context, c *client, session int) error {
	by := transport(overHTTP1)
	if chance(30) {
		by = overHTTP2
	}
	s, err := by(ctx, v.churn, c, 0)
	if err != nil {
		return err
	}
	defer s.close()
	late := time.AfterFunc(v.patience, s.leave)
	defer late.Stop()
	type logout struct {
		behind position
		err    error
	}
	out := make(chan logout, 1)
	for err == nil {
		was := c.live
		if err = s.next(); c.live && !was {
			go func() {
				_ = pause(ctx, upTo(time.Second)) // whoever ended it ends the rest too
				behind, err := v.desk.signOut(ctx, session)
				out <- logout{behind, err}
			}()
		}
	}
	if !c.live {
		return fmt.Errorf("%s: before ready: %w", c.channel, err)
	}
	l := <-out
	var end *otherEvent
	switch {
	case l.err != nil:
		return l.err
	case !errors.As(err, &end) || end.name != "end" || !strings.Contains(end.data, `"signed_out"`):
		return fmt.Errorf("%s: signed out, and the stream said: %w", c.channel, err)
	case l.behind.less(c.at):
		return fmt.Errorf("%s: row %d at %v came, the session was over at %v", c.channel, c.row, c.at, l.behind)
	}
	return nil
}

// refused asks with the cookie of a session that is over.
func (v *visitor) refused(ctx context.Context, c *client) error {
	for deadline := time.Now().Add(v.patience); ; {
		err := v.tryRefused(ctx, c)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		// Without a stream nobody waits until walrelay has read of the logout.
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (v *visitor) tryRefused(ctx context.Context, c *client) error {
	s, err := overHTTP1(ctx, v.churn, c, 0)
	if err != nil {
		return err
	}
	defer s.close()
	late := time.AfterFunc(v.patience, s.leave)
	defer late.Stop()
	switch err := s.next(); {
	case err == nil:
		return fmt.Errorf("%s: signed out, and got in again", c.channel)
	case !strings.Contains(err.Error(), "401 Unauthorized"):
		return fmt.Errorf("%s: signed out, and not told so: %w", c.channel, err)
	}
	return nil
}
