package auth

import (
	"context"
	"encoding/binary"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// The relations of the tests, as the stream announces them.
var (
	webSessions = &change.Relation{ID: 1, OID: 100, Schema: "public", Name: "session", Identity: 'd', Key: []int{0}, Columns: []change.Column{
		{Name: "id", Identity: true, NotNull: true, Type: &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}},
		{Name: "token", Type: &change.Type{OID: 25, Name: "text"}},
		{Name: "user_id", Type: &change.Type{OID: 25, Name: "text"}},
		{Name: "org", Type: &change.Type{OID: 25, Name: "text"}},
		{Name: "kind", Type: &change.Type{OID: 25, Name: "text"}},
		{Name: "expires", Type: &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}},
	}}
	webUsers = &change.Relation{ID: 2, OID: 101, Schema: "public", Name: "users", Identity: 'd', Key: []int{0}, Columns: []change.Column{
		{Name: "id", Identity: true, NotNull: true, Type: &change.Type{OID: 25, Name: "text"}},
		{Name: "role", Type: &change.Type{OID: 25, Name: "text"}},
	}}
)

// sessionRow is a row of the session table.
type sessionRow struct {
	id, token, user, org, kind string
	expires                    time.Time // zero: infinity
}

func (r sessionRow) values() []change.Value {
	out := make([]change.Value, 6)
	for i, text := range []string{r.id, r.token, r.user, r.org, r.kind} {
		out[i] = change.Value{Kind: change.Text, Text: []byte(text)}
		if text == "" {
			out[i] = change.Value{Kind: change.Null}
		}
	}
	out[5] = change.Value{Kind: change.Text, Text: []byte("infinity")}
	if !r.expires.IsZero() {
		out[5] = change.Value{Kind: change.Text, Text: []byte(r.expires.UTC().Format("2006-01-02 15:04:05.999999+00"))}
	}
	return out
}

// tuple writes TupleData.
func tuple(values []change.Value) change.Tuple {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		out = append(out, byte(v.Kind))
		if v.Kind == change.Text {
			out = binary.BigEndian.AppendUint32(out, uint32(len(v.Text)))
			out = append(out, v.Text...)
		}
	}
	return out
}

// keyTuple has the identity only.
func keyTuple(id string) change.Tuple {
	values := make([]change.Value, 6)
	for i := range values {
		values[i] = change.Value{Kind: change.Null}
	}
	values[0] = change.Value{Kind: change.Text, Text: []byte(id)}
	return tuple(values)
}

// world is a database and the sessions that read it: what queries see, and what has come by
// replication, are told apart.
type world struct {
	t testing.TB
	*Sessions

	lock    sync.Mutex
	rows    map[string]sessionRow // what queries see, by token
	roles   map[string]string     // users.role by id
	xmax    uint64
	stuck   map[uint64]func() // committed, not visible: what becomes visible with them
	asked   int
	resets  int
	down    error
	waiting chan struct{} // when not nil, a look-up waits for it after it has read
}

const firstXID = 1000

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	o := Options{
		Entries: []Entry{{Key: "auth.0", Session: &SessionEntry{
			Cookies: []string{"sid"}, Decode: "plain",
			Store: &Store{Schema: "public", Table: "session", Key: "token", Expires: &Expires{Column: "expires"}, Watch: []string{"org"},
				Where: []Equal{{Column: "kind", Value: "web"}}},
			User: "user_id", Claims: ClaimSource{SQL: "select :user as id, role from users where id = :user"},
			Depends:   []Depend{{Schema: "public", Table: "users", Key: "id"}},
			MaxStream: time.Hour, Revalidate: time.Minute, NegativeTTL: 2 * time.Second,
		}}},
		Declared: []filter.Claim{{Name: "id", Type: textType(t)}, {Name: "role", Type: textType(t)}},
		Limits:   Limits{PerSession: 4, PerUser: 6, Lookups: 4, FailedPerMinute: 5},
		URL:      "postgres://nobody@127.0.0.1:1/none",
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, Sessions: s, rows: map[string]sessionRow{}, roles: map[string]string{"ada": "admin", "bob": "user"}, xmax: firstXID, stuck: map[uint64]func(){}}
	s.lookups = w
	if err := s.Learn(tablesOfTests()); err != nil {
		t.Fatal(err)
	}
	return w
}

func textType(t testing.TB) filter.Type {
	typ, err := filter.ParseType("text")
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func tablesOfTests() map[string]*change.Relation {
	return map[string]*change.Relation{"public.session": webSessions, "public.users": webUsers}
}

// lookup answers from what is visible.
func (w *world) lookup(ctx context.Context, src *source, q question) (found, error) {
	w.lock.Lock()
	w.asked++
	err, f, wait := w.down, found{}, w.waiting
	if err == nil {
		f, err = w.read(src, q)
	}
	w.lock.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return found{}, ctx.Err()
		}
	}
	return f, err
}

func (w *world) read(src *source, q question) (found, error) {
	r, ok := w.rows[string(q.key)]
	if !ok || r.kind != "web" {
		return found{}, refuse(NoRow, "no row")
	}
	if !r.expires.IsZero() && !q.now.Before(r.expires) {
		return found{}, refuse(Expired, "over")
	}
	projected, err := src.row(src.bound.Load().store.rel, r.values())
	if err != nil {
		return found{}, err
	}
	role, ok := w.roles[r.user]
	switch {
	case projected.user == "":
		return found{}, refuse(NoUser, "nobody")
	case !ok:
		return found{}, refuse(NoClaims, "no row of claims")
	}
	return found{row: &projected, user: r.user, session: []byte(projected.watched), claims: []byte(`{"id":"` + r.user + `","role":"` + role + `"}`),
		dependUsers: []string{r.user}, snapshot: w.visible()}, nil
}

func (w *world) visible() change.Snapshot {
	s := change.Snapshot{Xmin: w.xmax, Xmax: w.xmax}
	for xid := uint64(firstXID); xid < w.xmax; xid++ {
		if w.stuck[xid] != nil {
			s.InProgress = append(s.InProgress, xid)
			s.Xmin = min(s.Xmin, xid)
		}
	}
	return s
}

func (w *world) snapshot(context.Context) (change.Snapshot, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.visible(), w.down
}

func (w *world) reset() {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.resets++
}

// tx is a transaction that has been committed.
type tx struct {
	w     *world
	xid   uint64
	apply []func()
	at    time.Time
}

// commit makes a transaction whose changes come by replication at once, and are visible.
func (w *world) commit(changes ...func(*tx)) { w.release(w.commitStuck(changes...)) }

// commitStuck is the same, but no query sees it before release.
func (w *world) commitStuck(changes ...func(*tx)) uint64 {
	w.lock.Lock()
	t := &tx{w: w, xid: w.xmax, at: w.now()}
	w.xmax++
	w.stuck[t.xid] = func() {
		for _, f := range t.apply {
			f()
		}
	}
	w.lock.Unlock()
	for _, c := range changes {
		c(t)
	}
	return t.xid
}

func (w *world) release(xid uint64) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.stuck[xid]()
	delete(w.stuck, xid)
}

func (t *tx) observe(c *change.Change) {
	c.Tx = change.Tx{XID: uint32(t.xid), Time: t.at.UnixMicro() - 946684800*1_000_000}
	t.w.Observe(c)
}

func insertSession(r sessionRow) func(*tx) {
	return func(t *tx) {
		t.apply = append(t.apply, func() { t.w.rows[r.token] = r })
		t.observe(&change.Change{Op: change.Insert, Relation: webSessions, New: tuple(r.values())})
	}
}

func updateSession(was, is sessionRow) func(*tx) {
	return func(t *tx) {
		t.apply = append(t.apply, func() { delete(t.w.rows, was.token); t.w.rows[is.token] = is })
		c := &change.Change{Op: change.Update, Relation: webSessions, New: tuple(is.values())}
		if was.id != is.id {
			c.Old, c.OldKind = keyTuple(was.id), change.OldKey
		}
		t.observe(c)
	}
}

func deleteSession(r sessionRow) func(*tx) {
	return func(t *tx) {
		t.apply = append(t.apply, func() { delete(t.w.rows, r.token) })
		t.observe(&change.Change{Op: change.Delete, Relation: webSessions, Old: keyTuple(r.id), OldKind: change.OldKey})
	}
}

// setRole changes a user's row; an empty role deletes it.
func setRole(user, role string) func(*tx) {
	return func(t *tx) {
		text := func(s string) change.Value { return change.Value{Kind: change.Text, Text: []byte(s)} }
		if role == "" {
			t.apply = append(t.apply, func() { delete(t.w.roles, user) })
			t.observe(&change.Change{Op: change.Delete, Relation: webUsers, Old: tuple([]change.Value{text(user), {Kind: change.Null}}), OldKind: change.OldKey})
			return
		}
		t.apply = append(t.apply, func() { t.w.roles[user] = role })
		t.observe(&change.Change{Op: change.Update, Relation: webUsers, New: tuple([]change.Value{text(user), text(role)})})
	}
}

func truncateTable(rel *change.Relation) func(*tx) {
	return func(t *tx) {
		t.apply = append(t.apply, func() {
			if rel == webSessions {
				clear(t.w.rows)
			} else {
				clear(t.w.roles)
			}
		})
		t.observe(&change.Change{Op: change.Truncate, Truncated: []*change.Relation{rel}})
	}
}

// have puts rows where queries see them, from before all transactions.
func (w *world) have(rows ...sessionRow) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, r := range rows {
		w.rows[r.token] = r
	}
}

func (w *world) queries() int {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.asked
}

func (w *world) come(cookie string) (*Session, error) { return w.comeFrom("10.0.0.1", cookie) }

func (w *world) comeFrom(ip, cookie string) (*Session, error) {
	r := &http.Request{Header: http.Header{}}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return w.Resolve(r.WithContext(context.Background()), Client{IP: ip})
}

// enter opens a stream with a cookie.
func (w *world) enter(cookie string) *fakeStream {
	w.t.Helper()
	one, err := w.come(cookie)
	if err != nil {
		w.t.Fatalf("%s: %v", cookie, err)
	}
	return w.attach(one)
}

func (w *world) attach(one *Session) *fakeStream {
	w.t.Helper()
	st := &fakeStream{session: one}
	var err error
	if st.detach, err = one.Attach(st); err != nil {
		w.t.Fatal(err)
	}
	return st
}

// fakeStream remembers what it was told.
type fakeStream struct {
	session *Session
	detach  func()

	mu     sync.Mutex
	end    string
	paused bool
	pauses int
}

func (f *fakeStream) End(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == "" {
		f.end = reason
	}
}

func (f *fakeStream) Pause(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = on
	if on {
		f.pauses++
	}
}

// state is what a stream is: open, paused, or why it has ended.
func (f *fakeStream) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.end != "":
		return f.end
	case f.paused:
		return "paused"
	}
	return "open"
}

func (f *fakeStream) is(t testing.TB, want string) {
	t.Helper()
	if got := f.state(); got != want {
		t.Errorf("the stream is %s, want %s", got, want)
	}
}
