package config

import (
	"fmt"
	"strings"
)

// warnings are what a person should know of a valid file.
func (r *reader) warnings(c *Config) []*Problem {
	var out []*Problem
	add := func(key, format string, args ...any) {
		out = append(out, newProblem(r.file, c.Pos(key), key, format, args...))
	}
	if text := closed(c.Channels); text != "" {
		add("channels", "%s", plain(text))
	}
	for _, claim := range c.Claims {
		if !r.claimed[claim.Name] {
			add("claims."+claim.Name, "no rule reads it")
		}
	}
	return out
}

// closed says which channels browsers cannot reach, as long as there is no auth.
func closed(channels []Channel) string {
	var names []string
	for i := range channels {
		if !channels[i].Allow.Public {
			names = append(names, channels[i].Name)
		}
	}
	const why = "there is no auth in this version: browsers get 401%s; only `walrelay tail --as` can subscribe, through the admin address"
	switch {
	case len(names) == 0:
		return ""
	case len(names) == len(channels):
		return "no channel is public and " + fmt.Sprintf(why, "")
	case len(names) == 1:
		return names[0] + " is not public and " + fmt.Sprintf(why, " there")
	}
	return strings.Join(names, ", ") + " are not public and " + fmt.Sprintf(why, " there")
}
