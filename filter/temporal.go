package filter

import (
	"bytes"
	"math"
	"strconv"
)

const (
	secondMicros = 1_000_000
	dayMicros    = 24 * 60 * 60 * secondMicros
)

// What Postgres can hold (src/include/datatype/timestamp.h): from 4714-11-24 BC to before
// 5874898-01-01 in days, and to before 294277-01-01 in microseconds.
const (
	minDay   = -2451545
	endDay   = 2145031949
	minMicro = -211813488000000000
	endMicro = 9223371331200000000
)

// parseDate reads YYYY-MM-DD, with more digits for years above 9999 and " BC" for those
// before the year 1, or infinity or -infinity: what Postgres prints, and what people write.
func parseDate(text []byte) (int64, bool) {
	if n, ok := parseInfinity(text); ok {
		return n, true
	}
	s, bc := timeText(text)
	days, ok := s.date(bc)
	return days, ok && len(s) == 0 && minDay <= days && days < endDay
}

// parseTimestamptz reads a date, T or a blank, hh:mm:ss with up to six digits of a
// fraction, and Z or an offset ±hh, ±hh:mm or ±hh:mm:ss: what Postgres prints, and RFC 3339.
// Like Postgres it takes no offset above 15:59:59, and here it must be there.
func parseTimestamptz(text []byte) (int64, bool) {
	if n, ok := parseInfinity(text); ok {
		return n, true
	}
	s, bc := timeText(text)
	days, ok := s.date(bc)
	// Beyond a day from the limits the multiplication could overflow.
	if !ok || days < minDay-1 || days > endMicro/dayMicros+1 {
		return 0, false
	}
	if !s.skip('T') && !s.skip(' ') {
		return 0, false
	}
	clock, ok := s.clock()
	if !ok {
		return 0, false
	}
	offset, ok := s.offset()
	if !ok || len(s) != 0 {
		return 0, false
	}
	// The last day that gets here leaves room for its microseconds only because endMicro
	// is some days below the greatest int64.
	n := days*dayMicros + clock - offset
	return n, minMicro <= n && n < endMicro
}

func parseInfinity(text []byte) (int64, bool) {
	switch string(text) {
	case "infinity":
		return math.MaxInt64, true
	case "-infinity":
		return math.MinInt64, true
	}
	return 0, false
}

// timeScanner is what is left of the text of a date or a time.
type timeScanner []byte

// timeText begins with a text; bc says that it was of a year before the year 1.
func timeText(text []byte) (s timeScanner, bc bool) {
	text, bc = bytes.CutSuffix(text, []byte(" BC"))
	return text, bc
}

func (s *timeScanner) skip(c byte) bool {
	if len(*s) == 0 || (*s)[0] != c {
		return false
	}
	*s = (*s)[1:]
	return true
}

// digits reads all digits, which must be between least and most.
func (s *timeScanner) digits(least, most int) (n int64, ok bool) {
	size := 0
	for size < len(*s) && size <= most && (*s)[size]-'0' <= 9 {
		n = n*10 + int64((*s)[size]-'0')
		size++
	}
	if size < least || size > most {
		return 0, false
	}
	*s = (*s)[size:]
	return n, true
}

// part reads a separator and two digits of a number up to most.
func (s *timeScanner) part(separator byte, most int64) (int64, bool) {
	if !s.skip(separator) {
		return 0, false
	}
	n, ok := s.digits(2, 2)
	return n, ok && n <= most
}

// date reads a date as days since 2000-01-01.
func (s *timeScanner) date(bc bool) (int64, bool) {
	padded := len(*s) > 0 && (*s)[0] == '0'
	before := len(*s)
	year, ok := s.digits(4, 7)
	if !ok || year == 0 || padded && before-len(*s) > 4 {
		return 0, false
	}
	if bc {
		year = 1 - year
	}
	month, ok := s.part('-', 12)
	if !ok || month == 0 {
		return 0, false
	}
	day, ok := s.part('-', 31)
	if !ok || day == 0 || day > daysIn(year, month) {
		return 0, false
	}
	return toDays(year, month, day), true
}

// clock reads hh:mm:ss and a fraction as microseconds.
func (s *timeScanner) clock() (int64, bool) {
	h, ok1 := s.digits(2, 2)
	m, ok2 := s.part(':', 59)
	sec, ok3 := s.part(':', 59)
	if !ok1 || !ok2 || !ok3 || h > 23 {
		return 0, false
	}
	micros := (h*3600 + m*60 + sec) * secondMicros
	if !s.skip('.') {
		return micros, true
	}
	before := len(*s)
	f, ok := s.digits(1, 6)
	for range 6 - (before - len(*s)) {
		f *= 10
	}
	return micros + f, ok
}

// offset reads Z or the offset east of UTC as microseconds.
func (s *timeScanner) offset() (int64, bool) {
	if s.skip('Z') {
		return 0, true
	}
	sign := int64(1)
	if s.skip('-') {
		sign = -1
	} else if !s.skip('+') {
		return 0, false
	}
	seconds, ok := s.digits(2, 2)
	seconds *= 3600
	for unit := int64(60); ok && unit > 0 && len(*s) > 0; unit /= 60 {
		var n int64
		n, ok = s.part(':', 59)
		seconds += n * unit
	}
	return sign * seconds * secondMicros, ok && seconds < 16*3600
}

// leap reports whether a year of the Gregorian calendar, 0 being 1 BC, has 366 days.
func leap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// Days of 400 years, and from 0000-03-01 to 2000-01-01.
const (
	eraDays   = 146097
	epochDays = 730425
)

// toDays counts from 2000-01-01. Years begin in March here, so that the leap day is the
// last of its year, and 400 of them are an era.
func toDays(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	y := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return era*eraDays + y*365 + y/4 - y/100 + ofYear - epochDays
}

// fromDays undoes toDays.
func fromDays(days int64) (year, month, day int64) {
	days += epochDays
	era := floorDiv(days, eraDays)
	d := days - era*eraDays
	y := (d - d/1460 + d/36524 - d/146096) / 365
	ofYear := d - (365*y + y/4 - y/100)
	m := (5*ofYear + 2) / 153
	year, month, day = era*400+y, m+3, ofYear-(153*m+2)/5+1
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendDate appends a date as Postgres prints it.
func appendDate(dst []byte, v value) []byte {
	if v.notFinite() {
		return appendInfinity(dst, v)
	}
	dst, bc := appendDay(dst, v.n)
	return appendEra(dst, bc)
}

// appendTimestamptz appends a timestamp as Postgres prints it in UTC.
func appendTimestamptz(dst []byte, v value) []byte {
	if v.notFinite() {
		return appendInfinity(dst, v)
	}
	days := floorDiv(v.n, dayMicros)
	micros := v.n - days*dayMicros
	dst, bc := appendDay(dst, days)
	seconds, fraction := micros/secondMicros, micros%secondMicros
	dst = appendPadded(append(dst, ' '), seconds/3600, 2)
	dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	dst = appendPadded(append(dst, ':'), seconds%60, 2)
	if fraction != 0 {
		dst = appendPadded(append(dst, '.'), fraction, 6)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return appendEra(append(dst, "+00"...), bc)
}

func appendInfinity(dst []byte, v value) []byte {
	if v.n < 0 {
		dst = append(dst, '-')
	}
	return append(dst, "infinity"...)
}

// appendDay appends YYYY-MM-DD; bc says that the text must end in BC.
func appendDay(dst []byte, days int64) (out []byte, bc bool) {
	year, month, day := fromDays(days)
	if year <= 0 {
		year, bc = 1-year, true
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), month, 2)
	return appendPadded(append(dst, '-'), day, 2), bc
}

func appendEra(dst []byte, bc bool) []byte {
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendPadded appends n with at least so many digits.
func appendPadded(dst []byte, n int64, digits int) []byte {
	for least := int64(10); digits > 1; digits-- {
		if n < least {
			dst = append(dst, "000000"[:digits-1]...)
			break
		}
		least *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}
