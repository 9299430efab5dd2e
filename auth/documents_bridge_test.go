package auth

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// readerOnce makes the role that may do no more than it is granted.
var readerOnce sync.Once

// OpenDocumented looks the session of a vector up as an entry of a page says, in the vector's
// tables, as a role with nothing but grants ("GRANT … TO walrelay;"). It returns the claims.
// secret is what the vector calls the secret.
func OpenDocumented(t testing.TB, name string, e *SessionEntry, secret, adapt string, grants []string) string {
	t.Helper()
	v := loadStoreVector(t, name)
	d := newDatabase(t, "create extension citext")
	if v.DDL != "" {
		d.exec(t, v.DDL)
	}
	if v.DataDecode.JSON != "" {
		v.Rows["sessions"][0]["data"] = v.DataDecode.JSON
	}
	d.fill(t, v.Rows)
	readerOnce.Do(func() { d.exec(t, "create role reader login") })
	sql := []string{"set search_path = public", adapt, "grant usage on schema public to reader"}
	for _, grant := range grants {
		sql = append(sql, strings.ReplaceAll(grant, "TO walrelay", "TO reader"))
	}
	d.exec(t, strings.Join(sql, ";\n"))
	s := d.source(t, e, v.documentedEnv(t, e, secret))
	e.Cookies = []string{v.CookieName}
	q, err := v.question(t, s, v.CookieHeader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(d.url())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("reader")
	p, err := newPostgres(u.String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	f, err := p.lookup(t.Context(), s, q)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.claims)
}

// documentedEnv has the secrets of the vector where the entry looks for its own.
func (v storeVector) documentedEnv(t testing.TB, e *SessionEntry, secret string) map[string]string {
	t.Helper()
	env := map[string]string{}
	if secret == "" {
		return env
	}
	if len(e.Encryption) > 0 {
		env["BLOCK"], e.Encryption = string(v.ring(t, "block_key")[0].bytes()), []string{"env:BLOCK"}
	}
	e.Secrets = nil
	for i, one := range v.documentedRing(t, secret) {
		name := "SECRET_" + strconv.Itoa(i)
		env[name] = string(one.bytes())
		e.Secrets = append(e.Secrets, "env:"+name)
	}
	return env
}

// documentedRing takes passwords by id, as iron-session has them, too.
func (v storeVector) documentedRing(t testing.TB, secret string) KeyRing {
	t.Helper()
	var byID map[string]string
	if json.Unmarshal(v.Secrets[secret], &byID) == nil {
		return ringOf(slices.Collect(maps.Values(byID))...)
	}
	return v.ring(t, secret)
}
