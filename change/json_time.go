package change

import "bytes"

// appendTimestamp appends a timestamp the way XSD style prints it: T between
// date and time, and always minutes in the zone. What has no time (infinity) is
// refused and becomes a string as it is.
func appendTimestamp(dst, text []byte, zoned bool) ([]byte, bool) {
	i := bytes.IndexByte(text, ' ')
	if i < 0 || !isTimeText(text) {
		return dst, false
	}
	date, rest := text[:i], text[i+1:]
	clock, era := rest, []byte(nil)
	if i := bytes.IndexByte(rest, ' '); i >= 0 {
		clock, era = rest[:i], rest[i:]
	}
	if len(clock) < len("00:00:00") {
		return dst, false
	}
	dst = append(dst, '"')
	dst = append(dst, date...)
	dst = append(dst, 'T')
	dst = append(dst, clock...)
	if zoned && hoursOnly(clock) {
		dst = append(dst, ":00"...)
	}
	dst = append(dst, era...)
	return append(dst, '"'), true
}

// hoursOnly reports whether clock ends in a zone without minutes, such as +00.
func hoursOnly(clock []byte) bool {
	sign := clock[len(clock)-3]
	return sign == '+' || sign == '-'
}

// timeBytes are the bytes that ISO dates and times are made of.
var timeBytes = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	' ': true, '-': true, '+': true, ':': true, '.': true, 'B': true, 'C': true,
}

// isTimeText reports whether text begins with a digit and holds nothing but timeBytes.
func isTimeText(text []byte) bool {
	for _, c := range text {
		if !timeBytes[c] {
			return false
		}
	}
	return text[0]-'0' < 10
}
