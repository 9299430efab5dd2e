package config

import "github.com/walrelay/walrelay/filter"

// Suggest returns `; did you mean "x"?` with the one of names that is nearest to
// got, or "" when none is near. It is meant to be appended to a problem's text.
func Suggest(got string, names []string) string { return filter.Suggest(got, names) }
