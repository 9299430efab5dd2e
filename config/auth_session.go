package config

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/auth"
)

// Lifetimes of streams and look-ups, where the file says nothing.
const (
	liveMaxStream      = time.Hour        // with a store: the WAL ends streams earlier
	statelessMaxStream = 10 * time.Minute // nothing else tells of a logout
	defaultRevalidate  = time.Minute
	defaultNegativeTTL = 2 * time.Second
)

// session reads an entry that reads sessions.
func (r *reader) session(s *section) *auth.SessionEntry {
	e := &auth.SessionEntry{}
	read(s, "preset", &e.Preset, oneOf(presetNames()))
	readMore(s, "cookie", &e.Cookies, cookieName)
	read(s, "bearer", &e.Bearer, set)
	r.decoder(s, e)
	read(s, "from", &e.From, text)
	if s.has("store") {
		e.Store = &auth.Store{}
		r.store(s.section("store"), e.Store)
	} else {
		s.section("store")
	}
	read(s, "user", &e.User, text)
	read(s, "check", &e.Check, text)
	query := r.claimSource(s, e)
	e.Depends = r.depends(s)
	read(s, "timezone", &e.Timezone, timezone)
	read(s, "max_stream", &e.MaxStream, duration)
	read(s, "revalidate", &e.Revalidate, duration)
	read(s, "negative_ttl", &e.NegativeTTL, duration)
	read(s, "stream_past_exp", &e.StreamPastExp, duration)
	s.done()
	query = fillPreset(e, query)
	fillDefaults(e)
	if !r.faulty(join(s.key, "preset")) {
		r.checkSession(s.key, e)
		r.checkColumn(join(s.key, "claims"), e, query)
	}
	return e
}

// decoder reads how a cookie is opened.
func (r *reader) decoder(s *section, e *auth.SessionEntry) {
	read(s, "decode", &e.Decode, text)
	e.Secrets = secretRefs(s, "secrets")
	e.Encryption = secretRefs(s, "encryption")
	read(s, "encoding", &e.Encoding, text)
	read(s, "salt", &e.Salt, text)
	read(s, "kdf", &e.KDF, text)
	read(s, "digest", &e.Digest, text)
	read(s, "issuer", &e.Issuer, text)
	readMore(s, "audience", &e.Audience, text)
	readSome(s, "algorithms", &e.Algorithms, text)
	read(s, "max_age", &e.MaxAge, duration)
	read(s, "jwks", &e.JWKS, absoluteURL)
}

// absoluteURL is a URL with a host.
func absoluteURL(v scalar) (*url.URL, error) {
	u, err := url.Parse(v.text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("must be a URL such as https://id.example.com/keys")
	case u.User != nil:
		return nil, errors.New("must not hold a user or a password")
	case u.Fragment != "" || !originHost(u):
		return nil, errors.New("must be a URL with a host that is a name or an IP address, and without a fragment")
	}
	return u, nil
}

// timezone is a name of the IANA database.
func timezone(v scalar) (string, error) {
	if _, err := time.LoadLocation(v.text); err != nil || v.text == "" || v.text == "Local" {
		return "", errors.New("must be the name of a time zone such as UTC or Europe/Berlin")
	}
	return v.text, nil
}

// store reads where sessions are kept.
func (r *reader) store(s *section, to *auth.Store) {
	to.Schema, to.Table = r.table(s)
	read(s, "key", &to.Key, columnName)
	read(s, "hash", &to.Hash, text)
	to.Where = r.equals(s.section("where"))
	to.Expires = r.expires(s)
	if s.has("data") {
		d := s.section("data")
		to.Data = &auth.Data{}
		d.require("column", "name the column that has the session")
		d.require("format", "say how the session is written: json, django, securecookie or scs")
		read(d, "column", &to.Data.Column, columnName)
		read(d, "format", &to.Data.Format, text)
		d.done()
	} else {
		s.section("data")
	}
	readSome(s, "watch", &to.Watch, text)
	s.done()
}

// table reads the name of a table; empty when it is none.
func (r *reader) table(s *section) (schema, table string) {
	v, ok := s.scalar("table")
	if !ok {
		return "", ""
	}
	schema, table, err := splitName(v.text)
	if err != nil {
		v.problem(err)
		return "", ""
	}
	return schema, table
}

// equals reads fixed conditions, column: value.
func (r *reader) equals(s *section) []auth.Equal {
	if s == nil {
		return nil
	}
	var out []auth.Equal
	for _, e := range s.entries {
		e.used = true
		key := join(s.key, e.name)
		n := r.follow(e.value)
		r.positions[key] = nodePos(n)
		switch {
		case r.rejected[n]:
		case isNull(n):
			r.problem(nodePos(n), key, "empty; a condition compares with a value")
		default:
			if v, ok := r.scalarOf(n, key); ok {
				out = append(out, auth.Equal{Column: e.name, Value: v.text})
			}
		}
	}
	return out
}

// expires reads when a row's session ends: a column, or {column, unit, plus}.
func (r *reader) expires(s *section) *auth.Expires {
	e := s.find("expires")
	if e == nil || r.rejected[e.value] {
		return nil
	}
	x := &auth.Expires{}
	if len(e.value.Content) == 0 {
		read(s, "expires", &x.Column, columnName)
		return x
	}
	d := s.section("expires")
	d.require("column", "name the column that says when the session ends, or that plus counts from")
	read(d, "column", &x.Column, columnName)
	read(d, "unit", &x.Unit, oneOf([]string{"unix", "unix-ms"}))
	read(d, "plus", &x.Plus, duration)
	d.done()
	return x
}

// fillDefaults fills what neither the file nor the preset says.
func fillDefaults(e *auth.SessionEntry) {
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if e.Live() {
		def(&e.MaxStream, liveMaxStream)
	}
	def(&e.MaxStream, statelessMaxStream)
	def(&e.Revalidate, defaultRevalidate)
	def(&e.NegativeTTL, defaultNegativeTTL)
	if e.Timezone == "" {
		e.Timezone = "UTC"
	}
}

// checkSession notes what is missing in an entry that has everything filled in, and what of
// it does not go together.
func (r *reader) checkSession(key string, e *auth.SessionEntry) {
	at := func(name string) string { return join(key, name) }
	switch {
	case len(e.Cookies) > 0 && e.Bearer:
		r.complain(at("bearer"), "stands beside cookie; an entry reads one of them: make it two entries")
	case len(e.Cookies) == 0 && !e.Bearer && e.Preset != "":
		r.complain(at("cookie"), "missing; with preset: %s the application itself names its cookie: cookie: NAME", e.Preset)
	case len(e.Cookies) == 0 && !e.Bearer && !r.faulty(at("cookie")) && !r.faulty(at("preset")):
		r.complain(key, "%s", plain(wantEntry))
		return // what else is missing says nothing
	}
	for _, f := range auth.CheckEntry(e) {
		r.complain(at(f.Key), "%s", plain(f.Text))
	}
	r.checkStore(at("store"), e)
	if e.User == "" {
		r.complain(at("user"), "missing; name the column of the store, or the path in the session, that says who it is, such as user_id")
	}
	if none(e.Claims) && !r.declared["id"] && e.User != "" {
		r.complain(at("user"), "without claims here the user is the claim id, which is not declared: add claims: {id: bigint} (or its other type) to the file, or claims to this entry")
	}
	if e.Claims.SQL == "" && len(e.Depends) > 0 {
		r.complain(at("depends"), "says when claims from SQL are read again, and there is no claims SQL; remove it")
	}
}

// checkColumn notes claims without the column that check compares.
func (r *reader) checkColumn(key string, e *auth.SessionEntry, q *query) {
	if q != nil && e.Check != "" && e.Check != "none" && !q.has("_check") && !q.has("*") {
		r.complain(key, "check: %s wants a column of the password in it, such as select id, password as _check", e.Check)
	}
}

func none(c auth.ClaimSource) bool { return c.SQL == "" && len(c.Paths) == 0 && len(c.Headers) == 0 }

// checkStore notes what is missing of a store.
func (r *reader) checkStore(key string, e *auth.SessionEntry) {
	s := e.Store
	if s == nil || r.noted(key) {
		return
	}
	if s.Table == "" {
		r.complain(join(key, "table"), "missing; name the table of the sessions: table: schema.name")
	}
	if s.Key == "" {
		r.complain(join(key, "key"), "missing; name the column that the cookie's value is compared with")
	}
	if len(s.Watch) > 0 && e.Claims.SQL == "" {
		r.complain(join(key, "watch"), "gives columns to claims SQL as :session, and there is no claims SQL; remove it")
	}
	for i, name := range s.Watch {
		for _, before := range s.Watch[:i] {
			if name == before {
				r.complain(join(key, "watch."+itoa(i)), "%s is in the list already", name)
			}
		}
		if strings.TrimSpace(name) == "" {
			r.complain(join(key, "watch."+itoa(i)), "empty; name a column or a path")
		}
	}
}

// depends reads the tables that claims are made of.
func (r *reader) depends(s *section) []auth.Depend {
	n := s.value("depends")
	if n == nil {
		return nil
	}
	key := join(s.key, "depends")
	switch {
	case n.Kind != yaml.SequenceNode:
		r.problem(nodePos(n), key, "must be a list of tables such as [{table: public.users, key: id}], got %s", kindName(n))
		return nil
	case len(n.Content) == 0:
		r.problem(nodePos(n), key, "the list is empty; give it a value or remove the key")
		return nil
	}
	var out []auth.Depend
	for i, item := range n.Content {
		itemKey := join(key, itoa(i))
		item = r.follow(item)
		r.positions[itemKey] = nodePos(item)
		if r.rejected[item] {
			continue
		}
		d := r.section(item, itemKey, "auth.*.depends.*", nodePos(item))
		d.require("table", "name the table that the claims SQL reads: table: schema.name")
		d.require("key", "name the column that is the user")
		var one auth.Depend
		one.Schema, one.Table = r.table(d)
		read(d, "key", &one.Key, columnName)
		d.done()
		out = append(out, one)
	}
	return out
}
