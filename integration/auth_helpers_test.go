package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// authSettings are the parts of a configuration that tests of sessions vary.
type authSettings struct {
	entries  string // in block style, under auth:
	claims   string // in flow style, without braces
	http     string // in flow style, without braces
	limits   string // of http, the same
	channels string // in block style, under channels:
}

func (s authSettings) yaml() string {
	http := `listen: "${HTTP_LISTEN}", heartbeat: 300ms, retry: 300ms`
	if s.http != "" {
		http += ", " + s.http
	}
	if s.limits != "" {
		http += ", limits: {" + s.limits + "}"
	}
	return `postgres: {url: "${DATABASE_URL}", slot: "${SLOT}", publication: "${PUBLICATION}"}
log: {dir: "${LOG_DIR}"}
http: {` + http + `}
admin: {listen: "${ADMIN_LISTEN}"}
auth:
` + s.entries + `claims: {` + s.claims + `}
channels:
` + s.channels
}

// newAuthRelay prepares a walrelay that logs at debug level, with a password in its
// database's URL and env ("NAME=value") in its environment.
func newAuthRelay(t testing.TB, db *database, config string, env ...string) *relay {
	t.Helper()
	r := newRelay(t, db, config)
	r.flags = []string{"--log-level", "debug"}
	r.env = append(r.env, "DATABASE_URL="+withPassword(t, db.url()))
	r.env = append(r.env, env...)
	return r
}

// withPassword puts a password into a URL, for which a server that trusts everybody does
// not ask.
func withPassword(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	password := "pw-" + newToken()
	leaks.secret(t, "password", password)
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// startAuthRelay starts one and waits until it is ready.
func startAuthRelay(t testing.TB, db *database, config string, env ...string) *relay {
	t.Helper()
	r := newAuthRelay(t, db, config, env...)
	r.startAuth(t)
	return r
}

// startAuth starts it and waits until it is ready. What it shows of itself at the end of
// the test is searched for secrets, and its event log must have none.
func (r *relay) startAuth(t testing.TB) {
	t.Helper()
	r.start(t)
	r.waitReady(t)
	t.Cleanup(func() {
		for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"} {
			if _, body, err := r.get(r.adminAt + path); err == nil { // it may have been ended
				leaks.watch(path+" in "+t.Name(), fixed(body))
			}
		}
		leaks.wantNotOnDisk(t, r.logDir, "")
	})
}

// newToken is a random text of 128 bits.
func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// The plain store: the cookie is the key of a row, which names a user and the
// organisation that it works for now.
const (
	plainSchema = `create table users (id bigint primary key, home bigint, role text not null default 'member', disabled bool not null default false, seen timestamptz);
		insert into users (id) select generate_series(1, 9);
		create table sessions (id text primary key, user_id bigint, org_id bigint,
			expires timestamptz not null default now() + interval '1 day', touched int not null default 0);
		create table notes (id bigint generated always as identity primary key, user_id bigint not null, org_id bigint, body text not null default '');
		alter table notes replica identity full`
	plainClaims = `id: bigint, org: bigint, role: text`
	// plainEntry's claims need the role and the organisation of the session.
	plainEntry = `  - cookie: sid
    decode: plain
    store: {table: sessions, key: id, expires: expires, watch: [org_id]}
    user: user_id
    claims: select id, role, coalesce((:session->>'org_id')::bigint, home) as org from users where id = :user::bigint and not disabled
    depends: [{table: users, key: id}]
`
	notesChannels = `  notes: {table: public.notes, allow: row.user_id == user.id}
  board: {table: public.notes, allow: row.user_id == user.id, snapshot: {max_rows: 10000}}
  desk: {table: public.notes, allow: row.org_id == user.org}
  team: {table: public.notes, allow: 'row.org_id == user.org && user.role == "member"'}
  audit: {table: public.notes, allow: 'user.role == "admin"'}
  open: {table: public.notes, allow: public}
`
)

// plainAuth is the configuration of the plain store.
var plainAuth = authSettings{entries: plainEntry, claims: plainClaims, channels: notesChannels}

// with is a copy in which f has changed something.
func (s authSettings) with(f func(*authSettings)) authSettings {
	f(&s)
	return s
}

// entry is a copy whose entry has further lines.
func (s authSettings) entry(lines ...string) authSettings {
	for _, line := range lines {
		s.entries += "    " + line + "\n"
	}
	return s
}

// newSession inserts a session of a user into the plain store and gives its id; columns is
// more of the row, such as "org_id = 1".
func (d *database) newSession(t testing.TB, user int, columns ...string) (id string) {
	t.Helper()
	id = sessionID(t)
	d.exec(t, insertSession(id, user, columns...))
	return id
}

// sessionID is an id that no log may have.
func sessionID(t testing.TB) string {
	t.Helper()
	id := newToken()
	leaks.secret(t, "session id", id)
	return id
}

func insertSession(id string, user int, columns ...string) string {
	names, values := "id, user_id", fmt.Sprintf("'%s', %d", id, user)
	for _, column := range columns {
		name, value, _ := strings.Cut(column, " = ")
		names, values = names+", "+name, values+", "+value
	}
	return "insert into sessions (" + names + ") values (" + values + ")"
}

// insertNote is the statement for a note of a user.
func insertNote(user int, body string) string {
	return fmt.Sprintf("insert into notes (user_id, org_id, body) values (%d, %d, '%s')", user, user, body)
}

// cookieHeader is the header of a request with these cookies, "name=value".
func cookieHeader(cookies ...string) http.Header {
	return http.Header{"Cookie": {strings.Join(cookies, "; ")}}
}

// sid is the header of a request with a session of the plain store.
func sid(id string) http.Header { return cookieHeader("sid=" + id) }

// signedIn opens a stream and reads its ready event.
func (r *relay) signedIn(t testing.TB, header http.Header, channels ...string) *sse {
	t.Helper()
	s := openSSE(t, r.streamURL(channels...), header)
	if f := s.next(t); f.event != "ready" {
		t.Fatalf("got %s %s instead of ready", f.event, f.data)
	}
	return s
}

// outcome is what a request for a stream gets: "ready", "end <reason>", or its status.
func (r *relay) outcome(t testing.TB, header http.Header, channels ...string) string {
	t.Helper()
	got, err := r.tryOutcome(t.Context(), header, channels...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tryOutcome is outcome for any goroutine.
func (r *relay) tryOutcome(ctx context.Context, header http.Header, channels ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.streamURL(channels...), nil)
	if err != nil {
		return "", err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := sseClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return strconv.Itoa(resp.StatusCode), nil
	}
	return firstEvent(resp.Body)
}

// errSeen ends the reading of a stream.
var errSeen = errors.New("seen")

// readUntil reads a body up to the event that it is looked at for.
type readUntil struct {
	io.Reader
	seen bool
}

func (r *readUntil) Read(p []byte) (int, error) {
	if r.seen {
		return 0, errSeen
	}
	return r.Reader.Read(p)
}

// firstEvent is the first event of a stream; the reason stands behind an end.
func firstEvent(body io.Reader) (event string, err error) {
	until, retry := &readUntil{Reader: body}, false
	err = parseSSE(until, "", func(f frame) {
		retry = retry || f.retry > 0
		if !f.hasData || until.seen {
			return
		}
		until.seen, event = true, f.event
		var e wireEvent
		if event != "end" {
			return
		}
		if err := json.Unmarshal([]byte(f.data), &e); err != nil {
			event = err.Error()
		}
		event += " " + e.Reason
		if !retry {
			event += " without retry"
		}
	})
	if event == "" {
		return "", fmt.Errorf("the stream ended without an event: %w", err)
	}
	return event, nil
}

// wantOutcome checks outcome.
func (r *relay) wantOutcome(t testing.TB, want string, header http.Header, channels ...string) {
	t.Helper()
	if got := r.outcome(t, header, channels...); got != want {
		t.Fatalf("a request for %v got %q, want %q", channels, got, want)
	}
}

// ended reads to the end of the stream, which must be for this reason, and gives the rows'
// events before it.
func (s *sse) ended(t testing.TB, reason string) (rows []frame) {
	t.Helper()
	frames := s.waitEnd(t)
	for _, f := range frames {
		if f.hasData && f.event != "end" {
			rows = append(rows, f)
		}
	}
	if len(frames) == 0 || frames[len(frames)-1].event != "end" {
		t.Fatalf("%s: the stream was cut without an end after %d frames", s.url, len(frames))
	}
	last := frames[len(frames)-1]
	if got := eventOf(t, last).Reason; got != reason {
		t.Fatalf("%s: the stream ended with %q, want %q", s.url, got, reason)
	}
	if last.hasID || !slices.ContainsFunc(frames, func(f frame) bool { return f.retry > 0 }) {
		t.Errorf("%s: the end has the id %q (must have none), or there is no retry", s.url, last.id)
	}
	return rows
}

// bodies are the bodies of notes in events of rows.
func bodies(t testing.TB, frames []frame) (out []string) {
	t.Helper()
	for _, f := range frames {
		if e := eventOf(t, f); e.Row != nil {
			out = append(out, fmt.Sprint(e.Row["body"]))
		}
	}
	return out
}

// wantBody checks that the next event is a note.
func (s *sse) wantBody(t testing.TB, body string) {
	t.Helper()
	f := s.next(t)
	if e := eventOf(t, f); f.event != "insert" || e.Row["body"] != body {
		t.Fatalf("%s: got %s %s, want the note %q", s.url, f.event, f.data, body)
	}
}

// wantAlive writes a note of a user and checks that it is the stream's next event.
func (s *sse) wantAlive(t testing.TB, db *database, user int) {
	t.Helper()
	body := "alive " + newToken()
	db.exec(t, insertNote(user, body))
	s.wantBody(t, body)
}

// visitor is somebody with cookies, before an application.
type visitor struct {
	app    *url.URL
	client *http.Client
}

func newVisitor(t testing.TB, app string) *visitor {
	t.Helper()
	u, err := url.Parse(app)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{app: u, client: &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// do makes a request of the application, a POST with fields; its answer must be 200.
func (v *visitor) do(t testing.TB, path string, fields ...string) (body string) {
	t.Helper()
	status, body := v.try(t, path, fields...)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// try makes a request: a POST with fields, "name=value", or a GET where path begins with
// GET and a space.
func (v *visitor) try(t testing.TB, path string, fields ...string) (status int, body string) {
	t.Helper()
	form := url.Values{}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		form.Set(name, value)
	}
	method := http.MethodPost
	if rest, ok := strings.CutPrefix(path, "GET "); ok {
		method, path = http.MethodGet, rest
	}
	req, err := http.NewRequestWithContext(t.Context(), method, v.app.JoinPath(path).String(), bytes.NewBufferString(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if c.Value != "" && c.MaxAge >= 0 {
			leaks.cookie(t, c.Value)
		}
	}
	return resp.StatusCode, string(data)
}

// header is the Cookie header that the visitor's browser would send now.
func (v *visitor) header() http.Header {
	var cookies []string
	for _, c := range v.client.Jar.Cookies(v.app) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	if len(cookies) == 0 {
		return http.Header{}
	}
	return cookieHeader(cookies...)
}

// noteWriter commits notes of users, one a transaction, until it is stopped.
type noteWriter struct {
	stop context.CancelFunc
	done chan error
}

// writeNotes starts a writer of the users' notes, in turn.
func (d *database) writeNotes(t testing.TB, users ...int) *noteWriter {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &noteWriter{stop: cancel, done: make(chan error, 1)}
	conn := d.conn(t)
	go func() { w.done <- writeNotes(ctx, t.Context(), conn, users) }()
	t.Cleanup(cancel)
	return w
}

func writeNotes(ctx, commands context.Context, conn *pgx.Conn, users []int) error {
	for n := 0; ctx.Err() == nil; n++ {
		if _, err := conn.Exec(commands, insertNote(users[n%len(users)], fmt.Sprintf("note %d", n))); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // a rate that a busy machine can follow
	}
	return nil
}

// finish stops it and waits until it has.
func (w *noteWriter) finish(t testing.TB) {
	t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
}

// told is what a stream was told of one position.
type told struct {
	at   change.Position
	body string
}

// toldOf are the notes in a stream's events.
func toldOf(t testing.TB, frames []frame) (out []told) {
	t.Helper()
	for _, f := range frames {
		if e := eventOf(t, f); e.Row != nil {
			out = append(out, told{positionOf(t, f.id), fmt.Sprint(e.Row["body"])})
		}
	}
	return out
}

// notesOf are the notes of a user that the database has recorded, in commit order.
func notesOf(changes []recorded, user int) (out []told) {
	for _, c := range changes {
		if c.op == "insert" && c.table == "notes" && c.after["user_id"] == fmt.Sprint(user) {
			out = append(out, told{c.at, c.after["body"]})
		}
	}
	return out
}

// wantPrefix checks that got is how want begins.
func wantPrefix(t testing.TB, what string, got, want []told) {
	t.Helper()
	if len(got) > len(want) {
		t.Errorf("%s: got %d notes of %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: note %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}
