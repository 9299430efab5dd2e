package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// readers are clients that stay, with the feed whose rows they get.
type readers struct {
	fleet *fleet
	feed  *feed
}

// mineChannel is where everybody who is signed in has their own rows.
const mineChannel = `  mine:
    table: public.feed
    allow: row.user_id == user.id
`

// userClient reads the public channel of a user.
func userClient(user int) *client {
	c := newClient(fmt.Sprintf("user/%d", user), feedPrefix(user))
	c.user = user
	return c
}

// ownClient reads the rows of the user whose cookie it has.
func ownClient(user int, cookie string) *client {
	c := newClient("mine", fmt.Sprintf(`{"channel":"mine","op":"insert","key":{"user_id":%d,"n":`, user))
	c.user, c.cookie = user, cookie
	return c
}

// newReaders starts a fleet of clients; close it. Their streams begin with the next row.
func newReaders(p *relay, f *feed, clients []*client) (*readers, error) {
	rows, _ := f.count()
	for _, c := range clients {
		c.row = rows[c.user]
	}
	fleet, err := newFleet(strings.TrimPrefix(p.base, "http://"), clients)
	return &readers{fleet, f}, err
}

func (r *readers) close() error { return r.fleet.close() }

// connect opens all connections and waits until all are live. Nothing may be committed meanwhile.
func (r *readers) connect(patience time.Duration) error {
	if err := r.fleet.do(func() { r.fleet.aim(func(int) int64 { return 0 }); r.fleet.connect() }); err != nil {
		return err
	}
	return r.fleet.await(patience)
}

// reach waits until everybody has so many rows of their users.
func (r *readers) reach(rows []int64, patience time.Duration) error {
	if err := r.fleet.do(func() { r.fleet.aim(func(i int) int64 { return rows[r.fleet.clients[i].user] }) }); err != nil {
		return err
	}
	return r.fleet.await(patience)
}

// complete waits until everybody has all rows that are committed.
func (r *readers) complete(patience time.Duration) error {
	rows, _ := r.feed.count()
	return r.reach(rows, patience)
}

// exact fails where a client has another number of rows than there are.
func (r *readers) exact() error {
	rows, _ := r.feed.count()
	var wrong error
	err := r.fleet.do(func() {
		for i, c := range r.fleet.clients {
			if c.row != rows[c.user] {
				wrong = fmt.Errorf("client %d of %s has %d rows of %d", i, c.channel, c.row, rows[c.user])
			}
		}
	})
	return errors.Join(err, wrong)
}
