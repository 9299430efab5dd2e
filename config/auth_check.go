package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/auth"
)

// checkAuth notes what entries and channels must not be to each other.
func (r *reader) checkAuth(c *Config) {
	for _, e := range c.Auth {
		if e.Session != nil && e.Session.Store != nil && e.Session.Store.Table != "" {
			r.noStoreChannel(e.Key, e.Session.Store, c.Channels)
		}
	}
	if len(c.Auth) == 0 && !r.faulty("auth") {
		r.needAuth(c.Channels)
	}
}

// noStoreChannel refuses channels on a table of sessions.
func (r *reader) noStoreChannel(key string, s *auth.Store, channels []Channel) {
	at := join(key, "store.table")
	for i := range channels {
		ch := &channels[i]
		if ch.Schema != s.Schema || ch.Table != s.Table {
			continue
		}
		own, other := r.place(at), r.place(ch.Key("table"))
		r.problem(own, at, "%s.%s is also the table of channel %s (line %d): its rows are live credentials, which no channel may send; remove the channel",
			s.Schema, s.Table, ch.Name, other.Line)
		r.problem(other, ch.Key("table"), "%s.%s is where %s keeps sessions (line %d): its rows are live credentials, which no channel may send; remove the channel",
			s.Schema, s.Table, key, own.Line)
	}
}

// needAuth refuses a file with which nobody could subscribe.
func (r *reader) needAuth(channels []Channel) {
	if len(channels) == 0 || slices.ContainsFunc(channels, func(c Channel) bool { return c.Allow.Public || c.Allow.Expr == nil }) {
		return
	}
	key := "auth"
	if _, ok := r.positions[key]; !ok {
		key = "channels"
	}
	r.problem(r.place(key), "auth", "missing, and no channel is public: nobody could subscribe. Say how users are known, as in %s, or write allow: public in a channel. "+
		"For `walrelay tail --as` alone, auth: [{anonymous: {}}] will do", plain("auth: [{preset: django}] (there are "+strings.Join(presetNames(), ", ")+")"))
}

// signsIn reports whether anybody can be signed in.
func signsIn(entries []auth.Entry) bool {
	return slices.ContainsFunc(entries, func(e auth.Entry) bool { return e.Anonymous == nil })
}

// authWarnings are what a person should know of valid entries.
func (r *reader) authWarnings(c *Config, add func(key, format string, args ...any)) {
	for _, e := range c.Auth {
		switch {
		case e.Anonymous != nil && len(e.Anonymous.Claims) > 0:
			add(join(e.Key, "anonymous"), "no rule can read these claims: public channels know no user, and the others are for users who are signed in")
		case e.Forward != nil:
			r.warnUnfilled(e.Key, e.Forward.Claims, add)
		case e.Session != nil && e.Session.Claims.SQL == "":
			r.warnUnfilled(e.Key, e.Session.Claims, add)
		case e.Session != nil && len(e.Session.Depends) == 0 && parseQuery(e.Session.Claims.SQL).has("from"):
			add(join(e.Key, "claims"), "nothing tells when the rows change that it reads, so that open streams keep what they were allowed until max_stream (%s); name the tables under depends",
				e.Session.MaxStream.String())
		}
	}
}

// warnUnfilled names claims that rules read and an entry does not give.
func (r *reader) warnUnfilled(key string, s auth.ClaimSource, add func(key, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(r.claimed)) {
		_, path := s.Paths[name]
		_, header := s.Headers[name]
		if !path && !header && !(none(s) && name == "id") && r.declared[name] {
			add(key, "rules read user.%s, which this entry does not give: it is null for its users; name it under claims", name)
		}
	}
}
