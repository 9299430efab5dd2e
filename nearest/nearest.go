// Package nearest finds the name that was probably meant, for error messages.
package nearest

import (
	"fmt"
	"strings"
)

// Suggest returns `; did you mean "x"?` with the one of names that is nearest to
// got, or "" when none is near. It is meant to be appended to an error. Near
// means the same but for case, or few letters different, missing, too many or
// swapped: one in a short word, three in a long one. Of equally near names the
// first wins.
func Suggest(got string, names []string) string {
	best, least := "", 1+allowed(got)
	for _, name := range names {
		d := distance(strings.ToLower(got), strings.ToLower(name), least)
		if d < least && name != got {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// allowed is how many differences a word of this length may have.
func allowed(word string) int {
	switch n := len(word); {
	case n <= 2:
		return 0
	case n <= 4:
		return 1
	case n <= 8:
		return 2
	}
	return 3
}

// distance counts the letters that differ, are missing, too many, or swapped
// with their neighbour (optimal string alignment). It may stop at limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) >= limit || len(y)-len(x) >= limit {
		return limit
	}
	before, row, next := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next[0] = i + 1
		least := next[0]
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			d := min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d = min(d, before[j-1]+1)
			}
			next[j+1] = d
			least = min(least, d)
		}
		if least >= limit {
			return limit
		}
		before, row, next = row, next, before
	}
	return row[len(y)]
}
