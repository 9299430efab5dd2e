package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// thrashSize is how hard TestAuthThrash tries: few streams and seconds, or with
// WALRELAY_AUTH_STREAMS=2000 the size of the specification.
func thrashSize(t testing.TB) (streams, sessions int, during time.Duration) {
	t.Helper()
	streams, during = 300, 3*time.Second
	if text := os.Getenv("WALRELAY_AUTH_STREAMS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("WALRELAY_AUTH_STREAMS=%s is no number of streams", text)
		}
		streams, during = n, 10*time.Second
	}
	return streams, 10 * streams, during
}

// TestAuthThrash: applications touch a session at every request. walrelay asks the database
// nothing because of it, and no stream notices.
func TestAuthThrash(t *testing.T) {
	t.Parallel()
	count, sessions, during := thrashSize(t)
	db := newDatabase(t, `create table session (sid text primary key, sess json not null, expire timestamp not null);
		create table app_users (id int primary key, name text);
		create table notes (id bigint generated always as identity primary key, user_id bigint not null, org_id bigint, body text not null);
		alter table notes replica identity full`)
	salt := newToken()
	db.exec(t, fmt.Sprintf(`insert into app_users select n, 'user ' || n from generate_series(0, %d) n;
		insert into session select md5('%s' || n), json_build_object('cookie', json_build_object('expires', now(), 'path', '/'), 'passport', json_build_object('user', n), 'cart', repeat('x', 200)), now() + interval '1 day'
			from generate_series(0, %[1]d) n`, sessions-1, salt), "analyze")
	settings := authSettings{entries: `  - cookie: sid
    decode: plain
    store: {table: session, key: sid, expires: expire, data: {column: sess, format: json}}
    user: passport.user
    claims: select id from app_users where id = :user::int
    depends: [{table: app_users, key: id}]
`, claims: "id: bigint", limits: "per_ip: 10000", channels: "  notes: {table: public.notes, allow: row.user_id == user.id}\n"}
	r := startAuthRelay(t, db, settings.yaml())
	ids := strings.Fields(db.value(t, fmt.Sprintf("select string_agg(md5('%s' || n), ' ' order by n) from generate_series(0, %d) n", salt, count-1)))
	leaks.secret(t, "session id", ids...)
	crowd := openCrowd(t, r, ids)

	const lookups = "walrelay_auth_lookups_seconds_count"
	asked, looked := db.authQueries(t), r.metric(t, lookups)
	if asked == "" || looked < float64(count) {
		t.Fatalf("%d sessions took %v look-ups, by %q: nothing is counted here", count, looked, asked)
	}
	touches := db.touchSessions(t, salt, sessions, during)
	db.exec(t, "insert into notes (user_id, body) select n, 'the end' from generate_series(0, "+strconv.Itoa(count-1)+") n")
	crowd.wait(t)
	if got := r.metric(t, lookups); got != looked {
		t.Errorf("%v look-ups because of touches", got-looked)
	}
	if got := db.authQueries(t); got != asked {
		t.Errorf("connections of walrelay-auth have asked something: before\n%s\nafter\n%s", asked, got)
	}
	t.Logf("%d touches in %v of %d sessions, of which %d had a stream", touches, during, sessions, count)
	if touches < sessions/10 {
		t.Errorf("only %d touches of %d sessions: this tests nothing", touches, sessions)
	}
}

// authQueries is when each connection of the look-ups has last asked something.
func (d *database) authQueries(t testing.TB) string {
	t.Helper()
	return d.value(t, `select coalesce(string_agg(pid || ' ' || query_start, e'\n' order by pid), '') from pg_stat_activity
		where datname = current_database() and application_name like 'walrelay-auth%'`)
}

// touchSessions moves the ends of random sessions, one a transaction, as fast as it goes.
func (d *database) touchSessions(t testing.TB, salt string, sessions int, during time.Duration) (touches int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	var all sync.WaitGroup
	var total atomic.Int64
	failed := make(chan error, 2)
	for n := range cap(failed) {
		conn, random := d.conn(t), rand.New(rand.NewPCG(uint64(n), 8))
		all.Go(func() {
			failed <- touch(ctx, t.Context(), conn, func() string {
				return fmt.Sprintf(`update session set expire = now() + interval '1 day', sess = jsonb_set(sess::jsonb, '{cookie,expires}', to_jsonb(clock_timestamp()))::json where sid = md5('%s' || %d)`,
					salt, random.IntN(sessions))
			}, &total)
		})
	}
	all.Wait()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	return int(total.Load())
}

// touch sends many statements at once, of which each is a transaction.
func touch(ctx, commands context.Context, conn *pgx.Conn, sql func() string, total *atomic.Int64) error {
	const many = 50
	for ctx.Err() == nil {
		var batch strings.Builder
		for range many {
			batch.WriteString("begin;" + sql() + ";commit;")
		}
		if _, err := conn.PgConn().Exec(commands, batch.String()).ReadAll(); err != nil {
			return err
		}
		total.Add(many)
	}
	return nil
}

// crowd are many streams, read as cheaply as can be: each must bring the note "the end".
type crowd struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	failed map[string]int // why, and how many streams
}

func openCrowd(t testing.TB, r *relay, ids []string) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &crowd{cancel: cancel, failed: map[string]int{}}
	t.Cleanup(func() {
		cancel()
		c.done.Wait()
	})
	opened := make(chan error)
	for id := range slicesOf(ids, 8) {
		c.done.Go(func() {
			for _, id := range id {
				body, err := openQuiet(ctx, r.streamURL("notes"), sid(id))
				if err == nil {
					c.done.Go(func() { c.follow(body) })
				}
				opened <- err
			}
		})
	}
	var first error
	for range ids {
		if err := <-opened; first == nil {
			first = err
		}
	}
	if first != nil {
		t.Fatal(first)
	}
	return c
}

// slicesOf deals values out to n hands.
func slicesOf[T any](values []T, n int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(values) > 0 {
			k := max(1, (len(values)+n-1)/n)
			if !yield(values[:k]) {
				return
			}
			if values = values[k:]; n > 1 {
				n--
			}
		}
	}
}

// openQuiet opens a stream and reads its ready event.
func openQuiet(ctx context.Context, url string, header http.Header) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	resp, err := sseClient.Do(req)
	if err != nil {
		return nil, err
	}
	buf, n := make([]byte, 4096), 0
	for err == nil && n < len(buf) && !bytes.Contains(buf[:n], []byte("event: ready")) {
		var more int
		more, err = resp.Body.Read(buf[n:])
		n += more
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(buf[:n], []byte("event: ready")) {
		resp.Body.Close()
		return nil, fmt.Errorf("%s, %q (%v) instead of a stream that is ready", resp.Status, buf[:n], err)
	}
	return resp.Body, nil
}

// follow reads a stream up to the note that ends the test.
func (c *crowd) follow(body io.ReadCloser) {
	defer body.Close()
	var tail []byte
	buf := make([]byte, 2048)
	for {
		n, err := body.Read(buf)
		tail = append(tail, buf[:n]...)
		switch {
		case bytes.Contains(tail, []byte(`"the end"`)):
			return
		case bytes.Contains(tail, []byte("event: end")) || err != nil:
			c.mu.Lock()
			c.failed[fmt.Sprintf("ended with %q (%v)", tail[max(0, len(tail)-100):], err)]++
			c.mu.Unlock()
			return
		}
		tail = tail[max(0, len(tail)-200):]
	}
}

// wait waits until every stream has brought the note.
func (c *crowd) wait(t testing.TB) {
	t.Helper()
	timeout := time.AfterFunc(patience, c.cancel)
	defer timeout.Stop()
	c.done.Wait()
	for why, n := range c.failed {
		t.Errorf("%d streams %s", n, why)
	}
}
