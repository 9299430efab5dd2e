package integration

import (
	"strings"
	"testing"
)

// The metrics of sessions that the docs tell operators to watch are there, without anybody
// in them, and count.
func TestAuthMetrics(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
	id := db.newSession(t, 1)
	s := r.signedIn(t, sid(id), "notes")
	r.wantOutcome(t, "401", sid(newToken()), "notes")
	conn := db.conn(t)
	script(t, []step{{conn, "begin"}, {conn, "lock table sessions in access exclusive mode"}})
	r.wantOutcome(t, "end unavailable", sid(newToken()), "notes")
	script(t, []step{{conn, "rollback"}})
	db.exec(t, "update users set seen = now() where id = 1") // claims are read again
	r.waitMetric(t, `walrelay_auth_rereads_total{result="same"}`, func(v float64) bool { return v > 0 })
	s.wantAlive(t, db, 1)
	db.exec(t, "delete from sessions")
	s.ended(t, "signed_out")
	r.waitMetric(t, `walrelay_auth_revocations_total{cause="deleted"}`, func(v float64) bool { return v == 1 })
	_, text := r.admin(t, "/metrics")
	for _, name := range documentedMetrics(t) {
		if strings.HasPrefix(name, "walrelay_auth_") && !strings.Contains(text, "\n"+name) {
			t.Errorf("the docs name %s, /metrics does not", name)
		}
	}
	if strings.Contains(text, id) || strings.Contains(text, "127.0.0.1") {
		t.Error("somebody is in /metrics")
	}
}
