package config

import (
	"strings"

	"github.com/walrelay/walrelay/auth"
)

// warnings are what a person should know of a valid file.
func (r *reader) warnings(c *Config) []*Problem {
	var out []*Problem
	add := func(key, format string, args ...any) {
		out = append(out, newProblem(r.file, c.Pos(key), key, format, args...))
	}
	if text := closed(c.Auth, c.Channels); text != "" {
		add("channels", "%s", plain(text))
	}
	r.authWarnings(c, add)
	for _, claim := range c.Claims {
		if !r.claimed[claim.Name] {
			add("claims."+claim.Name, "no rule reads it")
		}
	}
	return out
}

// closed says which channels browsers cannot reach, because nobody can be signed in.
func closed(entries []auth.Entry, channels []Channel) string {
	var names []string
	for i := range channels {
		if !channels[i].Allow.Public {
			names = append(names, channels[i].Name)
		}
	}
	auth := "there is no auth"
	if len(entries) > 0 {
		auth = "auth has only anonymous"
	}
	why := func(there string) string {
		return auth + ": browsers get 401" + there + "; only `walrelay tail --as` can subscribe, through the admin address"
	}
	switch {
	case len(names) == 0 || signsIn(entries):
		return ""
	case len(names) == len(channels):
		return "no channel is public and " + why("")
	case len(names) == 1:
		return names[0] + " is not public and " + why(" there")
	}
	return strings.Join(names, ", ") + " are not public and " + why(" there")
}
