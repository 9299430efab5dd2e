package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// TestSecurityDocument gives walrelay the role of docs/security.md, which may do no more
// than is said there: it checks, streams, reads snapshots, lets users in and sends them away.
func TestSecurityDocument(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	sql := regexp.MustCompile("(?s)## Running it with few rights\n+```sql\n(.*?)```").FindStringSubmatch(string(doc))
	if sql == nil {
		t.Fatal("docs/security.md has no SQL for the role")
	}
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}),
		`create table session (sid varchar primary key, sess json not null, expire timestamp(6) not null)`,
		`create table users (id bigint primary key, org_id bigint, roles text[], disabled bool not null default false, password text)`,
		`create table orders (id bigint primary key, customer_id bigint not null); alter table orders replica identity full`,
		`insert into users values (42, 7, '{admin}', false, 'hash'); insert into orders values (1, 42), (2, 43)`,
		sql[1])
	secret, sid := newToken(), newToken()
	leaks.secret(t, "secret", secret)
	cookie := expressCookie(secret, sid)
	leaks.cookie(t, cookie)
	r := newRelay(t, db, `postgres: {url: "${DATABASE_URL}"}
log: {dir: "${LOG_DIR}"}
http: {listen: "${HTTP_LISTEN}"}
admin: {listen: "${ADMIN_LISTEN}"}
auth:
  - preset: express-passport
    claims: select id, org_id, roles from users where id = :user and not disabled
claims: {id: bigint}
channels:
  orders: {table: orders, allow: row.customer_id == user.id, snapshot: {}}
`)
	r.flags = []string{"--log-level", "debug"}
	r.env = append(r.env, "SESSION_SECRET="+secret, "DATABASE_URL="+db.cluster.UserURL(db.name, "walrelay", "…"))
	db.exec(t, `insert into session values ('`+sid+`', '{"passport":{"user":42}}', now() at time zone 'utc' + interval '1 day')`)
	for _, command := range [][]string{{"check"}, {"auth", "check"}} {
		if out := startProcess(t, r.command(t, append(command, "-c", r.config)...)).wait(t); out.code != 0 || strings.Contains(out.stdout, "error") {
			t.Errorf("walrelay %s: exit code %d:\n%s%s", strings.Join(command, " "), out.code, out.stdout, out.stderr)
		}
	}
	r.startAuth(t)
	s := r.signedIn(t, cookieHeader("connect.sid="+cookie), "orders")
	if f := s.next(t); f.event != "snapshot" || !strings.Contains(f.data, `"rows":[{"id":1,"customer_id":42}]`) {
		t.Errorf("got %s %s, want a snapshot with order 1", f.event, f.data)
	}
	db.exec(t, "insert into orders values (3, 43), (4, 42)")
	if f := s.next(t); f.event != "insert" || !strings.Contains(f.data, `"id":4`) {
		t.Errorf("got %s %s, want order 4", f.event, f.data)
	}
	db.exec(t, "delete from session")
	s.ended(t, "signed_out")
	r.wantOutcome(t, "401", cookieHeader("connect.sid="+cookie), "orders")
}

// expressCookie is what express-session sends for a session.
func expressCookie(secret, sid string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(sid))
	return url.QueryEscape("s:" + sid + "." + base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
}
