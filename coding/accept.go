package coding

import (
	"strconv"
	"strings"
)

// Negotiate chooses a coding by the values of Accept-Encoding: the one with the highest quality, of
// several gzip, then zstd. Identity is what is left, also where the client refuses it, and where the
// client names it with a higher quality. A header that is not there, or empty, accepts nothing.
// "*" stands for gzip: zstd is for who names it.
//
// Gzip comes first because every browser takes it, so that all of them share one piece of each run,
// and because single rows are a few percent smaller with it (docs/performance.md).
func Negotiate(values []string) Coding {
	q := parseAccept(values)
	best := Identity
	for _, c := range []Coding{Zstd, Gzip} {
		if q[c] > 0 && q[c] >= q[best] {
			best = c
		}
	}
	return best
}

// parseAccept is the quality of each coding; members that are malformed count for nothing.
func parseAccept(values []string) (q [3]float64) {
	named := [len(q)]bool{}
	others := 0.0
	for _, member := range strings.Split(strings.Join(values, ","), ",") {
		name, quality, ok := parseMember(member)
		if !ok {
			continue
		}
		switch name {
		case "*":
			others = quality
		case "identity":
			q[Identity], named[Identity] = quality, true
		case "gzip", "x-gzip":
			q[Gzip], named[Gzip] = max(q[Gzip], quality), true
		case "zstd":
			q[Zstd], named[Zstd] = quality, true
		}
	}
	if !named[Gzip] {
		q[Gzip] = others
	}
	return q
}

// parseMember reads one coding with its weight, such as gzip;q=0.5.
func parseMember(member string) (name string, q float64, ok bool) {
	name, params, weighted := strings.Cut(member, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if !weighted {
		return name, 1, name != ""
	}
	key, value, _ := strings.Cut(params, "=")
	if !strings.EqualFold(strings.TrimSpace(key), "q") {
		return "", 0, false
	}
	value = strings.TrimSpace(value)
	if len(value) > len("0.999") || strings.Trim(value, "0123456789.") != "" { // no signs, exponents, names
		return "", 0, false
	}
	q, err := strconv.ParseFloat(value, 64)
	return name, q, name != "" && err == nil && q <= 1
}
