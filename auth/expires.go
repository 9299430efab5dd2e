package auth

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/walrelay/walrelay/change"
)

// over is when sessions have ended of which nothing later is known: long ago, whatever the
// clock.
var over = time.Unix(0, 0).UTC()

// errExpires has no value in it: it may go to a log.
var errExpires = errors.New("the time at which a session expires cannot be read")

// expiry reads the column that says when a session ends.
type expiry struct {
	unit     string
	plus     time.Duration
	location *time.Location
}

// newExpiry refuses columns whose values are no times.
func newExpiry(e *Expires, t *change.Type, location *time.Location) (*expiry, error) {
	x := &expiry{unit: e.Unit, plus: e.Plus, location: location}
	switch e.Unit {
	case "":
		if t.Kind != change.KindTimestamp && t.Kind != change.KindTimestampTZ && t.Kind != change.KindDate {
			return nil, errors.New("it is of type " + t.Name + ", which is no time; for seconds since 1970 write unit: unix")
		}
	case "unix", "unix-ms":
		if t.Kind != change.KindInt && t.Kind != change.KindNumeric && t.Kind != change.KindFloat && !textual(t) {
			return nil, errors.New("it is of type " + t.Name + ", which is no number: remove unit")
		}
	default:
		return nil, errors.New("unit is unix or unix-ms")
	}
	return x, nil
}

func textual(t *change.Type) bool {
	switch t.BaseName() {
	case "text", "character varying", "character", "bpchar":
		return true
	}
	return false
}

// at is when a session ends; zero: not by time. NULL says that it has ended: an
// application's own `expires > now()` would not be true.
func (x *expiry) at(v change.Value) (time.Time, error) {
	switch v.Kind {
	case change.Null:
		return over, nil
	case change.Text:
	default:
		return time.Time{}, errExpires
	}
	t, err := x.parse(strings.TrimSpace(string(v.Text)))
	if err != nil || t.IsZero() || t.Equal(over) {
		return t, err
	}
	return t.Add(x.plus).UTC(), nil
}

func (x *expiry) parse(text string) (time.Time, error) {
	switch strings.ToLower(text) {
	case "infinity":
		return time.Time{}, nil
	case "-infinity":
		return over, nil
	case "nan", "":
		return time.Time{}, errExpires
	}
	if x.unit != "" {
		return parseUnix(text, x.unit == "unix-ms")
	}
	return parseTimestamp(text, x.location)
}

// maxUnix are seconds since 1970 beyond which no session ends, so that arithmetic cannot
// overflow.
const maxUnix = 1 << 45

// parseUnix reads a number of any form that Postgres writes.
func parseUnix(text string, milli bool) (time.Time, error) {
	if len(text) > 40 {
		return time.Time{}, errExpires
	}
	switch n, err := strconv.ParseFloat(text, 64); {
	case err != nil:
		return time.Time{}, errExpires
	case n < 1:
		return over, nil
	case n > maxUnix*1000:
		return time.Time{}, nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return time.Time{}, errExpires
	}
	scale := int64(time.Second)
	if milli {
		scale = int64(time.Millisecond)
	}
	nanos := new(big.Int).Quo(r.Mul(r, new(big.Rat).SetInt64(scale)).Num(), r.Denom())
	seconds, rest := new(big.Int).DivMod(nanos, big.NewInt(int64(time.Second)), new(big.Int))
	if !seconds.IsInt64() || seconds.Int64() > maxUnix {
		return time.Time{}, nil
	}
	return time.Unix(seconds.Int64(), rest.Int64()).UTC(), nil
}

// parseTimestamp reads the output of timestamp, timestamptz and date under DateStyle ISO:
// 2026-11-20 21:43:45.945, with +00 behind it, with BC at the end. Years have 4 digits or more.
func parseTimestamp(text string, location *time.Location) (time.Time, error) {
	if strings.HasSuffix(text, " BC") {
		return over, nil
	}
	date, clock, _ := strings.Cut(text, " ")
	y, m, d, ok := parseDate(date)
	if !ok {
		return time.Time{}, errExpires
	}
	clock, offset, zoned, ok := cutOffset(clock)
	if !ok {
		return time.Time{}, errExpires
	}
	since := time.Duration(0)
	if clock != "" {
		if since, ok = parseClock(clock); !ok {
			return time.Time{}, errExpires
		}
	}
	wall := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Add(since)
	if zoned {
		return wall.Add(-offset), nil
	}
	return wallIn(wall, location), nil
}

func parseDate(text string) (y, m, d int, ok bool) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 || len(parts[0]) < 4 || len(parts[0]) > 6 || len(parts[1]) != 2 || len(parts[2]) != 2 {
		return 0, 0, 0, false
	}
	y, ok1 := digits(parts[0])
	m, ok2 := digits(parts[1])
	d, ok3 := digits(parts[2])
	return y, m, d, ok1 && ok2 && ok3 && m >= 1 && m <= 12 && d >= 1 && d <= 31
}

// parseClock reads 21:43:45.945, also 24:00:00.
func parseClock(text string) (time.Duration, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	parts := strings.Split(whole, ":")
	if len(parts) != 3 || len(fraction) > 9 {
		return 0, false
	}
	var out time.Duration
	for _, part := range parts {
		n, ok := digits(part)
		if !ok || len(part) != 2 {
			return 0, false
		}
		out = out*60 + time.Duration(n)*time.Second
	}
	if fraction == "" {
		return out, true
	}
	n, ok := digits(fraction + strings.Repeat("0", 9-len(fraction)))
	return out + time.Duration(n), ok
}

// cutOffset takes +00, +05:30 or -00:01:15 off a time of the day.
func cutOffset(clock string) (rest string, offset time.Duration, zoned, ok bool) {
	i := strings.IndexAny(clock, "+-")
	if i < 0 {
		return clock, 0, false, true
	}
	unit := time.Hour
	for part := range strings.SplitSeq(clock[i+1:], ":") {
		n, ok := digits(part)
		if !ok || len(part) != 2 {
			return "", 0, false, false
		}
		offset += time.Duration(n) * unit
		unit /= 60
	}
	if clock[i] == '-' {
		offset = -offset
	}
	return clock[:i], offset, true, true
}

func digits(text string) (int, bool) {
	n := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, text != ""
}

// wallIn is the instant at which clocks of the location show wall. As Postgres does it
// (DetermineTimeZoneOffset): what they show twice is the later, what they never show is read
// as if they had not been moved yet.
func wallIn(wall time.Time, location *time.Location) time.Time {
	offset := func(t time.Time) time.Duration {
		_, seconds := t.In(location).Zone()
		return time.Duration(seconds) * time.Second
	}
	before := wall.Add(-offset(wall.Add(-24 * time.Hour)))
	after := wall.Add(-offset(wall.Add(24 * time.Hour)))
	if after.Add(offset(after)).Equal(wall) {
		return after
	}
	return before
}
