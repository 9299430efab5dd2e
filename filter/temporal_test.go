package filter

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// timestamps are texts of Postgres 15 in the order of time, with extract(epoch) of them less
// that of 2000-01-01, in microseconds.
var timestamps = []struct {
	text string
	n    int64
}{
	{"-infinity", math.MinInt64},
	{"4714-11-24 00:00:00+00 BC", -211813488000000000},
	{"0044-03-15 12:00:00.5+00 BC", -64464465599500000},
	{"0001-12-31 23:59:59.999999+00 BC", -63082281600000001},
	{"0001-01-01 00:00:00+00", -63082281600000000},
	{"1969-12-31 23:59:59.999999+00", -946684800000001},
	{"1970-01-01 00:00:00+00", -946684800000000},
	{"1999-12-31 23:59:59.999999+00", -1},
	{"2000-01-01 00:00:00+00", 0},
	{"2000-01-01 00:00:00.000001+00", 1},
	{"2000-01-01 00:00:00.1+00", 100000},
	{"2000-02-29 00:00:00+00", 59 * dayMicros},
	{"2026-11-20 21:00:00.123456+00", 848523600123456},
	{"9999-12-31 23:59:59.999999+00", 252455615999999999},
	{"10000-01-01 00:00:00+00", 252455616000000000},
	{"294276-12-31 23:59:59.999999+00", 9223371331199999999},
	{"infinity", math.MaxInt64},
}

func TestTimestamptz(t *testing.T) {
	typ := Type{Class: ClassTimestamptz}
	for i, tt := range timestamps {
		v, ok := decode(nil, typ, []byte(tt.text))
		if !ok || v.state != isSet || v.n != tt.n {
			t.Errorf("decode(%s) = %d, %v, want %d", tt.text, v.n, ok, tt.n)
		}
		if got := v.text(typ); got != tt.text {
			t.Errorf("text of %s is %s", tt.text, got)
		}
		for j, other := range timestamps {
			o, _ := decode(nil, typ, []byte(other.text))
			if compare(ClassTimestamptz, v, o) != sign(i-j) || equal(ClassTimestamptz, v, o) != (i == j) {
				t.Errorf("%s and %s compare wrongly", tt.text, other.text)
			}
		}
	}
}

func TestTimestamptzSpellings(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"2026-01-31T12:00:00Z", "2026-01-31 12:00:00+00"},
		{"2026-01-31 12:00:00Z", "2026-01-31 12:00:00+00"},
		{"2026-01-31T12:00:00.5+02:00", "2026-01-31 10:00:00.5+00"},
		{"2026-01-31T12:00:00.123450-09:30", "2026-01-31 21:30:00.12345+00"},
		{"2026-01-01T00:00:00+14:00", "2025-12-31 10:00:00+00"},
		{"2025-12-31T23:59:59.999999-15:59", "2026-01-01 15:58:59.999999+00"},
		{"1800-01-01 00:53:28+00:53:28", "1800-01-01 00:00:00+00"},
		{"2026-01-31T12:00:00-07", "2026-01-31 19:00:00+00"},
		{"0001-01-01T00:00:00+01:00", "0001-12-31 23:00:00+00 BC"},
		{"0001-01-01 00:00:00.000001+01 BC", "0002-12-31 23:00:00.000001+00 BC"},
		{"2024-02-29T00:00:00Z", "2024-02-29 00:00:00+00"},
		{"4714-11-24 01:00:00+01 BC", "4714-11-24 00:00:00+00 BC"},
		{"294277-01-01 00:59:59+01", "294276-12-31 23:59:59+00"},
	} {
		v, err := parseText(Type{Class: ClassTimestamptz}, tt.text)
		if err != nil || v.text(Type{Class: ClassTimestamptz}) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.text, v.text(Type{Class: ClassTimestamptz}), err, tt.want)
		}
	}
}

func TestNotTimestamptz(t *testing.T) {
	for _, s := range []string{
		"", "2026-01-31", "2026-01-31 12:00:00", "2026-01-31T12:00:00", "2026-01-31T12:00Z", "2026-01-31t12:00:00Z", "2026-01-31T12:00:00z",
		"2026-01-31T24:00:00Z", "2026-01-31T12:60:00Z", "2026-01-31T12:00:60Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234567Z",
		"2026-01-31T12:00:00,5Z", "2026-02-29T12:00:00Z", "2100-02-29T12:00:00Z", "2026-04-31T12:00:00Z", "2026-13-01T12:00:00Z",
		"2026-00-01T12:00:00Z", "2026-01-00T12:00:00Z", "0000-01-01T12:00:00Z", "26-01-01T12:00:00Z", "02026-01-01T12:00:00Z",
		"2026-01-31T12:00:00+2", "2026-01-31T12:00:00+0200", "2026-01-31T12:00:00+16:00", "2026-01-31T12:00:00+00:60", "2026-01-31T12:00:00+00:",
		"2026-01-31T12:00:00+00:00:00:00", "2026-01-31T12:00:00Z ", " 2026-01-31T12:00:00Z", "2026-01-31  12:00:00Z", "2026-01-31T12:00:00 Z",
		"2026-01-31T12:00:00Z BC BC", "2026-01-31T12:00:00Z AD", "20260131T120000Z", "-2026-01-31T12:00:00Z", "2026-01-31T12:00:00+-1:00",
		"4714-11-23 23:59:59.999999+00 BC", "4714-11-24 00:00:00+00:00:01 BC", "294277-01-01 00:00:00+00", "294276-12-31 23:59:59.999999-00:00:01",
		"9999999-12-31 00:00:00+00", "9999999-12-31 00:00:00+00 BC", "99999999-12-31 00:00:00+00", "Infinity", "+infinity", "now", "epoch", "1700000000",
		"2026-01-31T12:00:00Z\n", "2026-01-31T12:00:00\u22120100",
	} {
		if v, ok := decode(nil, Type{Class: ClassTimestamptz}, []byte(s)); ok || v.state != isOpen {
			t.Errorf("decode(%q) = %s, %v, want open", s, v.text(Type{Class: ClassTimestamptz}), ok)
		}
	}
}

func TestDate(t *testing.T) {
	typ := Type{Class: ClassDate}
	for _, tt := range []struct {
		text string
		n    int64
	}{
		{"-infinity", math.MinInt64},
		{"4714-11-24 BC", -2451545},
		{"0044-03-15 BC", -746117},
		{"0001-02-29 BC", -730426},
		{"0001-03-01 BC", -730425},
		{"0001-01-01", -730119},
		{"1999-12-31", -1},
		{"2000-01-01", 0},
		{"2024-02-29", 8825},
		{"10000-01-01", 2921940},
		{"5874897-12-31", 2145031948},
		{"infinity", math.MaxInt64},
	} {
		v, ok := decode(nil, typ, []byte(tt.text))
		if !ok || v.n != tt.n || v.text(typ) != tt.text {
			t.Errorf("decode(%s) = %d, %v, want %d; text %s", tt.text, v.n, ok, tt.n, v.text(typ))
		}
	}
	for _, s := range []string{
		"", "2026-1-31", "2026-01-31 ", "2026-01-31T00:00:00Z", "2026-01-31 00:00:00+00", "31.01.2026", "20260131", "2026-02-30", "1900-02-29", "0000-01-01",
		"4714-11-23 BC", "5874898-01-01", "9999999-12-31", "2026-01", "today", "0002-02-29 BC", "10000000-01-01", "010000-01-01",
	} {
		if v, ok := decode(nil, typ, []byte(s)); ok || v.state != isOpen {
			t.Errorf("decode(%q) = %s, %v, want open", s, v.text(typ), ok)
		}
	}
}

// Every day of 490 years, and some beyond, as package time counts them.
func TestDaysLikeTime(t *testing.T) {
	day := time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200_000 {
		d := day.AddDate(0, 0, i)
		if i > 180_000 {
			d = time.Unix((r.Int64N(2*2145031949)-2145031949)*86400+epoch, 0).UTC()
		}
		days := (d.Unix() - epoch) / 86400
		year, month, mday := int64(d.Year()), int64(d.Month()), int64(d.Day())
		if got := toDays(year, month, mday); got != days {
			t.Fatalf("toDays(%d, %d, %d) = %d, want %d", year, month, mday, got, days)
		}
		if y, m, dd := fromDays(days); y != year || m != month || dd != mday {
			t.Fatalf("fromDays(%d) = %d, %d, %d, want %d, %d, %d", days, y, m, dd, year, month, mday)
		}
		if last := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day(); daysIn(year, month) != int64(last) {
			t.Fatalf("daysIn(%d, %d) = %d, want %d", year, month, daysIn(year, month), last)
		}
	}
}

func FuzzTimestamptz(f *testing.F) {
	for _, tt := range timestamps {
		f.Add(tt.text)
	}
	f.Add("2026-01-31T12:00:00.123450-09:30")
	f.Fuzz(func(t *testing.T, s string) {
		for _, typ := range []Type{{Class: ClassTimestamptz}, {Class: ClassDate}} {
			v, ok := decode(nil, typ, []byte(s))
			if !ok {
				continue
			}
			text := v.text(typ)
			again, ok := decode(nil, typ, []byte(text))
			if !ok || again.n != v.n || again.text(typ) != text {
				t.Errorf("%q: %s, %d, again %d, %v", s, text, v.n, again.n, ok)
			}
		}
		// Package time reads RFC 3339 as this package does.
		want, err := time.Parse(time.RFC3339Nano, s)
		v, ok := parseTimestamptz([]byte(s))
		if err == nil && ok && v != want.UnixMicro()-946684800000000 {
			t.Errorf("%q is %d, package time has %v", s, v, want)
		}
		if err == nil && !ok && strings.HasSuffix(s, "Z") && want.Year() > 0 && len(s) <= len("2000-01-01T00:00:00.123456Z") && !strings.Contains(s, ",") {
			t.Errorf("%q is refused, package time reads %v", s, want)
		}
	})
}

func BenchmarkTimestamptz(b *testing.B) {
	text := []byte("2026-11-20 21:00:00.123456+00")
	b.ReportAllocs()
	for b.Loop() {
		decode(nil, Type{Class: ClassTimestamptz}, text)
	}
}
