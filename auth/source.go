package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/walrelay/walrelay/change"
)

// source is an entry that reads sessions, compiled. Safe for concurrent use.
type source struct {
	entry *SessionEntry
	// key is that of the Entry, for messages.
	key string
	// keys are the public keys of JWKS; until they are set there are none.
	keys lateKeys
	// fetcher fetches them; nil without JWKS.
	fetcher  *keyFetcher
	hash     storeHash
	location *time.Location
	// claims is nil without SQL.
	claims *claimsSQL
	now    func() time.Time
	// polled: the WAL tells nothing of the store, which is UNLOGGED. Set before the first use.
	polled bool

	// opener is what depends on secrets; setSecrets replaces it.
	opener atomic.Pointer[opener]
	// learning is held while bound is made anew.
	learning sync.Mutex
	bound    atomic.Pointer[binding]
}

// opener is what of a source depends on secrets. Immutable.
type opener struct {
	decoder decoder
	payload payloadDecoder // nil without data
	check   payloadCheck
}

// newSource compiles an entry. env is os.LookupEnv but in tests. Errors name the key of
// the configuration and hold no secret.
func newSource(key string, e *SessionEntry, env func(string) (string, bool)) (*source, error) {
	s := &source{entry: e, key: key, location: time.UTC, now: time.Now}
	var problems []error
	note := func(field string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s%s: %w", key, field, err))
		}
	}
	var err error
	if e.Store != nil {
		s.hash, err = newStoreHash(e.Store.Hash)
		note(".store", err)
	}
	if e.Timezone != "" {
		s.location, err = loadLocation(e.Timezone)
		note(".timezone", err)
	}
	if e.Claims.SQL != "" {
		s.claims, err = parseClaimsSQL(e.Claims.SQL)
		note(".claims", err)
	}
	note("", s.checkFields())
	note("", s.setSecrets(env))
	s.bound.Store(s.unbound())
	return s, errors.Join(problems...)
}

// loadLocation refuses Local: it is another zone on every machine.
func loadLocation(name string) (*time.Location, error) {
	l, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return time.UTC, fmt.Errorf("%q is no name of a time zone such as UTC or Europe/Berlin", name)
	}
	return l, nil
}

// checkFields finds what fits each other badly.
func (s *source) checkFields() error {
	e := s.entry
	switch {
	case e.User == "":
		return errors.New("user is missing: name the path in the payload, or the column, that says who it is")
	case len(e.Claims.Headers) > 0:
		return errors.New("claims: headers are for forward")
	case e.Check != "" && e.Check != "none" && s.claims == nil:
		return fmt.Errorf("check: %s compares with the column _check of claims, which is no SQL here", e.Check)
	case e.Store != nil && (e.Store.Table == "" || e.Store.Key == ""):
		return errors.New("store: table and key are needed")
	case e.Store == nil && e.From != "":
		return errors.New("from names the key of a store, and there is none")
	}
	return nil
}

// setSecrets loads the secrets, again, and replaces all that depends on them at once. On an
// error everything stays as it was.
func (s *source) setSecrets(env func(string) (string, bool)) error {
	o, err := s.decodeOptions(env)
	if err != nil {
		return err
	}
	var n opener
	if n.decoder, err = newDecoder(s.entry.Decode, s.ofDecoder(o)); err != nil {
		return err
	}
	if data := s.data(); data != nil {
		payload := decodeOptions{secrets: o.secrets, encryption: o.encryption, encoding: o.encoding, maxAge: o.maxAge}
		if n.payload, err = newPayloadDecoder(data.Format, payload); err != nil {
			return fmt.Errorf("store.data.%w", err)
		}
	}
	if n.check, err = newPayloadCheck(s.entry.Check, o.secrets, s.entry.User); err != nil {
		return err
	}
	s.opener.Store(&n)
	return nil
}

func (s *source) decodeOptions(env func(string) (string, bool)) (decodeOptions, error) {
	e := s.entry
	o := decodeOptions{encoding: e.Encoding, salt: e.Salt, kdf: e.KDF, digest: e.Digest, issuer: e.Issuer,
		audience: e.Audience, algorithms: e.Algorithms, maxAge: e.MaxAge}
	if e.JWKS != nil {
		o.keys = &s.keys
	}
	var err error
	if o.secrets, err = LoadKeyRing(e.Secrets, env); err != nil {
		return o, fmt.Errorf("secrets: %w", err)
	}
	if o.encryption, err = LoadKeyRing(e.Encryption, env); err != nil {
		return o, fmt.Errorf("encryption: %w", err)
	}
	return o, nil
}

// ofDecoder leaves out what only the payload of the store needs.
func (s *source) ofDecoder(o decodeOptions) decodeOptions {
	if data := s.data(); data != nil && data.Format == "securecookie" && s.entry.Decode != "securecookie" {
		o.encryption, o.maxAge = nil, 0
	}
	return o
}

func (s *source) data() *Data {
	if s.entry.Store == nil {
		return nil
	}
	return s.entry.Store.Data
}

// ask opens a cookie and makes the question of its look-up. What else the cookie says is in
// decoded. It may wait for a newer key set. The error is a refusal, or *NotReadyError.
func (s *source) ask(ctx context.Context, c cookie, now time.Time) (question, decoded, error) {
	d, err := s.fetcher.decodeFresh(ctx, s.opener.Load().decoder, c, now)
	if err != nil {
		return question{}, decoded{}, err
	}
	q := question{cookie: c.name, payload: d.payload, now: now}
	if s.entry.Store != nil {
		key, err := d.storeKey(s.entry.From)
		if err == nil {
			q.key, err = s.hash(key)
		}
		if err != nil {
			return question{}, decoded{}, err
		}
	} else if d.payload == nil {
		return question{}, decoded{}, refuse(Malformed, "it holds a key, and no store is configured")
	}
	return q, d, nil
}

// payload opens the payload of a row. Its cookie's name may be sealed in it: of a row from
// the WAL that is one of the entry's. nil: the column is NULL.
func (s *source) payload(text []byte, now time.Time) (out decoded, err error) {
	names := s.entry.Cookies
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		if out, err = s.opener.Load().payload.decodePayload(name, text, now); err == nil {
			return out, nil
		}
	}
	return decoded{}, err
}

// names reports whether a relation is a table that the entry reads.
func (s *source) names(rel *change.Relation) bool {
	b := s.bound.Load()
	for i := range s.entry.Depends {
		if s.isDepend(b, i, rel) {
			return true
		}
	}
	return s.isStore(rel)
}

// hears reports that the WAL tells of changes to the entry's sessions.
func (s *source) hears() bool {
	return s.entry.Store != nil && !s.polled || len(s.entry.Depends) > 0
}

// asksPostgres: of a cookie that holds all there is to know nothing need be read.
func (s *source) asksPostgres() bool {
	return s.entry.Store != nil || s.claims != nil || len(s.entry.Depends) > 0
}

// lateKeys are public keys that come from elsewhere, later. The zero value has none.
type lateKeys struct {
	source atomic.Pointer[keySource]
}

func (l *lateKeys) set(keys keySource) { l.source.Store(&keys) }

func (l *lateKeys) candidates(kid string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey {
	if keys := l.source.Load(); keys != nil {
		return (*keys).candidates(kid, algorithm)
	}
	return nil
}

// binding is what a source knows of its tables. Immutable but for what the store's says.
type binding struct {
	// store is nil without a store, or while nothing is known of its table.
	store *storeTable
	// depends has one for each of Depends, nil while nothing is known of it.
	depends []*dependTable
	// err says what does not fit. Invariant: nil iff all the tables are known and fit.
	err error
}

func (s *source) unbound() *binding {
	b := &binding{depends: make([]*dependTable, len(s.entry.Depends))}
	b.err = s.missing(b)
	return b
}

// learn binds the source to its tables, by schema.name, as the catalog or the stream has
// them; tables that are not in the map keep what was known of them. It reports what changed
// for sessions that are open. The error says what does not fit any more: until it does, no
// session of the source is accepted.
func (s *source) learn(tables map[string]*change.Relation) (rebound, error) {
	s.learning.Lock()
	defer s.learning.Unlock()
	was := s.bound.Load()
	b := &binding{depends: make([]*dependTable, len(s.entry.Depends))}
	var r rebound
	problems := []error{s.learnStore(b, was, tables, &r)}
	for i := range s.entry.Depends {
		problems = append(problems, s.learnDepend(b, was, i, tables, &r))
	}
	problems = append(problems, s.missing(b))
	b.err = errors.Join(problems...)
	s.bound.Store(b)
	return r, b.err
}

// rebound says which of what sessions are indexed by has changed.
type rebound struct {
	// store: identities or watched columns of the store's table are others.
	store bool
	// depends: the spelling of users in a table of Depends may be another.
	depends bool
}

// missing says which tables nothing is known of.
func (s *source) missing(b *binding) error {
	var problems []error
	if st := s.entry.Store; st != nil && b.store == nil {
		problems = append(problems, unknownTable(st.Schema, st.Table, s.key+".store.table"))
	}
	for i, d := range s.entry.Depends {
		if b.depends[i] == nil {
			problems = append(problems, unknownTable(d.Schema, d.Table, fmt.Sprintf("%s.depends.%d.table", s.key, i)))
		}
	}
	return errors.Join(problems...)
}

func unknownTable(schema, name, key string) error {
	return fmt.Errorf("table %s.%s (%s) is not known: it does not exist, or replication has not begun", schema, name, key)
}

// find looks a table up by its name or, when it has been renamed, by the OID of what it was
// bound to. renamed: it has another name now. Nil: the map does not have it.
func find(tables map[string]*change.Relation, schema, name string, was *change.Relation) (rel *change.Relation, renamed bool) {
	if rel = tables[schema+"."+name]; rel != nil || was == nil {
		return rel, false
	}
	for _, rel := range tables {
		if rel != nil && rel.OID == was.OID {
			return rel, true
		}
	}
	return nil, false
}

// unfollowed is the problem of a table that is nil in the map, see Sessions.Learn.
func unfollowed(tables map[string]*change.Relation, schema, name, key string) error {
	if rel, told := tables[schema+"."+name]; told && rel == nil {
		return fmt.Errorf("table %s.%s (%s) is not followed: it is gone, or not fit to be published, as replication says", schema, name, key)
	}
	return nil
}

func renamedTable(rel *change.Relation, schema, name, key string) error {
	return fmt.Errorf("table %s.%s (%s) is called %s now: name it so", schema, name, key, rel.FullName())
}

// isStore reports whether a relation is the source's store, by its OID or, before that is
// known, by its name.
func (s *source) isStore(rel *change.Relation) bool {
	st := s.entry.Store
	if st == nil {
		return false
	}
	if b := s.bound.Load(); b.store != nil && b.store.rel.OID == rel.OID {
		return true
	}
	return st.Schema == rel.Schema && st.Table == rel.Name
}

var errNotLearned = errors.New("the table has been altered since it was looked at")

// row projects a tuple of the store's table, see [row]. An error is a change of the table
// that learn has not heard of, or a value that cannot be read: the session must end.
func (s *source) row(rel *change.Relation, values []change.Value) (row, error) {
	st := s.bound.Load().store
	if st == nil || st.rel.ID != rel.ID {
		return row{}, errNotLearned
	}
	r, _, err := s.project(st, values, nil, s.now())
	return r, err
}

// identity is row.identity of a tuple, also of a key tuple; false: it does not carry it.
func (s *source) identity(rel *change.Relation, values []change.Value) (string, bool) {
	id, ok := s.appendIdentity(nil, rel, values)
	return string(id), ok
}

// appendIdentity is identity without a string of its own.
func (s *source) appendIdentity(dst []byte, rel *change.Relation, values []change.Value) ([]byte, bool) {
	st := s.bound.Load().store
	if st == nil || st.rel.ID != rel.ID || len(st.identity) == 0 { // of none all rows would be one
		return dst, false
	}
	return appendIdentity(dst, st.identity, values)
}
