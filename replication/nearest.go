package replication

import "github.com/walrelay/walrelay/filter"

func didYouMean(got string, names []string) string { return filter.Suggest(got, names) }
