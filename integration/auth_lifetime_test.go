package integration

import (
	"fmt"
	"testing"
	"time"
)

// TestAuthExpiry: a session ends when its row says so, not before, and what the application
// moves on goes on, also when walrelay hears of it late.
func TestAuthExpiry(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := newAuthRelay(t, db, plainAuth.yaml())
	way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", db.cluster.Port()))
	r.env = append(r.env, "DATABASE_URL="+way.url(t, db))
	r.startAuth(t)

	until := func(at time.Time) string { return "expires = '" + at.UTC().Format(time.RFC3339Nano) + "'" }
	soon := time.Now().Add(5 * time.Second) // later than all of this has begun
	short, slid, lagging := db.newSession(t, 1, until(soon)), db.newSession(t, 2, until(soon)), db.newSession(t, 3, until(soon))
	brought := db.newSession(t, 4)
	gone := db.newSession(t, 5, until(time.Now().Add(-time.Second)))
	first, second, third, fourth := r.signedIn(t, sid(short), "notes"), r.signedIn(t, sid(slid), "notes"), r.signedIn(t, sid(lagging), "notes"), r.signedIn(t, sid(brought), "notes")
	r.wantOutcome(t, "401", sid(gone), "notes")
	db.exec(t, "update sessions set expires = now() + interval '1 day' where id = '"+slid+"'")
	second.wantAlive(t, db, 2)

	// An earlier end is heard of too.
	earlier := time.Now().Add(time.Second)
	db.exec(t, "update sessions set "+until(earlier)+" where id = '"+brought+"'")
	fourth.ended(t, "signed_out")
	if now := time.Now(); now.Before(earlier) {
		t.Errorf("the session ended at %v, before %v", now, earlier)
	}
	// Nothing comes from replication until the session would have ended.
	way.eachStream(func(k *link) { k.stall(time.Until(soon) + time.Second) })
	db.exec(t, "update sessions set expires = now() + interval '1 day' where id = '"+lagging+"'")
	first.ended(t, "signed_out")
	if now := time.Now(); now.Before(soon) {
		t.Errorf("the session ended at %v, before %v", now, soon)
	}
	r.wantOutcome(t, "401", sid(short), "notes")
	third.wantAlive(t, db, 3)
	second.wantAlive(t, db, 2)
}

// TestAuthMaxStream: a stream that has lasted long enough comes back with the cookies of
// then, and misses nothing.
func TestAuthMaxStream(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.entry("max_stream: 1s").yaml())
	id := db.newSession(t, 1)
	s := r.signedIn(t, sid(id), "notes")
	db.exec(t, insertNote(1, "first"))
	got := bodies(t, s.ended(t, "renew"))
	db.exec(t, insertNote(1, "second"))
	s.reconnect(t)
	s.wantResumed(t)
	got = append(got, bodies(t, s.ended(t, "renew"))...)
	if fmt.Sprint(got) != "[first second]" {
		t.Errorf("the streams got %q", got)
	}
}
