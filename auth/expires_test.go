package auth

import (
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

var (
	typeTimestamp   = &change.Type{OID: 1114, Name: "timestamp without time zone", Kind: change.KindTimestamp}
	typeTimestampTZ = &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}
	typeDate        = &change.Type{OID: 1082, Name: "date", Kind: change.KindDate}
	typeInt         = &change.Type{OID: 23, Name: "integer", Kind: change.KindInt}
	typeBigint      = &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}
	typeNumeric     = &change.Type{OID: 1700, Name: "numeric", Kind: change.KindNumeric}
	typeFloat       = &change.Type{OID: 701, Name: "double precision", Kind: change.KindFloat}
	typeText        = &change.Type{OID: 25, Name: "text"}
	typeVarchar     = &change.Type{OID: 1043, Name: "character varying"}
	typeChar        = &change.Type{OID: 1042, Name: "character"}
	typeBytea       = &change.Type{OID: 17, Name: "bytea"}
	typeBool        = &change.Type{OID: 16, Name: "boolean", Kind: change.KindBool}
)

func textValue(s string) change.Value { return change.Value{Kind: change.Text, Text: []byte(s)} }

func TestExpires(t *testing.T) {
	t.Parallel()
	const never = ""
	for _, c := range []struct {
		typ              *change.Type
		unit, zone, text string
		plus             time.Duration
		want             string // RFC 3339
	}{
		{typeTimestamp, "", "UTC", "2026-11-20 21:43:45", 0, "2026-11-20T21:43:45Z"},
		{typeTimestamp, "", "UTC", "2026-11-20 21:43:45.94", 0, "2026-11-20T21:43:45.94Z"},
		{typeTimestamp, "", "UTC", "2026-11-20 21:43:45.000001", 14 * 24 * time.Hour, "2026-12-04T21:43:45.000001Z"},
		{typeTimestamp, "", "UTC", "2026-11-20 24:00:00", 0, "2026-11-21T00:00:00Z"},
		{typeTimestamp, "", "Europe/Berlin", "2026-11-20 21:43:45", 0, "2026-11-20T20:43:45Z"},
		{typeTimestamp, "", "Europe/Berlin", "2026-07-20 21:43:45", 0, "2026-07-20T19:43:45Z"},
		// Twice on the clock: Postgres takes the later. Never on it: as before the jump.
		{typeTimestamp, "", "Europe/Berlin", "2026-10-25 02:30:00", 0, "2026-10-25T01:30:00Z"},
		{typeTimestamp, "", "Europe/Berlin", "2026-03-29 02:30:00", 0, "2026-03-29T01:30:00Z"},
		{typeTimestamp, "", "America/New_York", "2026-11-01 01:30:00", 0, "2026-11-01T06:30:00Z"},
		{typeTimestamp, "", "UTC", "infinity", time.Hour, never},
		{typeTimestamp, "", "UTC", "-infinity", time.Hour, "1970-01-01T00:00:00Z"},
		{typeTimestamp, "", "UTC", "0044-03-15 12:00:00 BC", time.Hour, "1970-01-01T00:00:00Z"},
		{typeTimestamp, "", "UTC", "294276-12-31 23:59:59", 0, "294276-12-31T23:59:59Z"},
		{typeTimestampTZ, "", "Europe/Berlin", "2026-11-20 21:43:45.5+00", 0, "2026-11-20T21:43:45.5Z"},
		{typeTimestampTZ, "", "UTC", "2026-11-20 21:43:45+05:30", 0, "2026-11-20T16:13:45Z"},
		{typeTimestampTZ, "", "UTC", "1890-11-20 21:43:45-00:01:15", 0, "1890-11-20T21:45:00Z"},
		{typeDate, "", "Europe/Berlin", "2026-11-20", 0, "2026-11-19T23:00:00Z"},
		{typeInt, "unix", "UTC", "1795210949", 120 * time.Minute, "2026-11-20T23:42:29Z"},
		{typeBigint, "unix-ms", "UTC", "1795210949123", 0, "2026-11-20T21:42:29.123Z"},
		{typeBigint, "unix", "UTC", "9223372036854775807", time.Hour, never},
		{typeBigint, "unix", "UTC", "-5", time.Hour, "1970-01-01T00:00:00Z"},
		{typeBigint, "unix", "UTC", "0", time.Hour, "1970-01-01T00:00:00Z"},
		{typeNumeric, "unix", "UTC", "1795210949.123456", 0, "2026-11-20T21:42:29.123456Z"},
		{typeNumeric, "unix", "UTC", "Infinity", 0, never},
		{typeFloat, "unix-ms", "UTC", "1.795210949123e+12", 0, "2026-11-20T21:42:29.123Z"},
		{typeText, "unix", "UTC", " 1795210949 ", 0, "2026-11-20T21:42:29Z"},
		{typeVarchar, "unix-ms", "UTC", "1795210949123", 0, "2026-11-20T21:42:29.123Z"},
	} {
		got, err := expiryOf(t, c.typ, c.unit, c.zone, c.plus).at(textValue(c.text))
		text := ""
		if !got.IsZero() {
			text = got.Format(time.RFC3339Nano)
		}
		want := c.want
		if err != nil || text != want || got.Location() != time.UTC {
			t.Errorf("%s %q in %s: %s %v, want %s", c.typ.Name, c.text, c.zone, text, err, want)
		}
	}
}

func expiryOf(t *testing.T, typ *change.Type, unit, zone string, plus time.Duration) *expiry {
	t.Helper()
	location, err := loadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	x, err := newExpiry(&Expires{Unit: unit, Plus: plus}, typ, location)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A NULL is a session that is over; what cannot be read is an error, not a session for ever.
func TestExpiresUnknown(t *testing.T) {
	t.Parallel()
	x := expiryOf(t, typeTimestamp, "", "UTC", time.Hour)
	if got, err := x.at(change.Value{Kind: change.Null}); err != nil || !got.Equal(over) {
		t.Errorf("NULL: %v %v", got, err)
	}
	for _, v := range []change.Value{{Kind: change.Unchanged}, {Kind: change.Missing}, {Kind: change.Omitted}, textValue(""), textValue("soon"), textValue("2026-11-20 21:43"),
		textValue("2026-13-20 21:43:00"), textValue("20261120"), textValue("2026-11-20 21:43:00+1"), textValue("2026-11-20T21:43:00")} {
		if got, err := x.at(v); err == nil {
			t.Errorf("%s: %v", v.Text, got)
		}
	}
	x = expiryOf(t, typeText, "unix", "UTC", 0)
	for _, text := range []string{"NaN", "", "1/2", "0x", "tomorrow", "1e400", "10000000000000000000000000000000000000000000000"} {
		if got, err := x.at(textValue(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, c := range []struct {
		typ  *change.Type
		unit string
	}{{typeText, ""}, {typeInt, ""}, {typeTimestamp, "unix"}, {typeBytea, "unix"}, {typeInt, "unix-us"}} {
		if _, err := newExpiry(&Expires{Unit: c.unit}, c.typ, time.UTC); err == nil {
			t.Errorf("%s with unit %q is taken", c.typ.Name, c.unit)
		}
	}
}

func FuzzExpires(f *testing.F) {
	for _, s := range []string{"2026-11-20 21:43:45.94+05:30", "infinity", "1.795210949123e+12", "-1", "0001-01-01 00:00:00 BC"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, x := range []*expiry{{location: time.UTC}, {unit: "unix"}, {unit: "unix-ms", plus: time.Hour}} {
			_, _ = x.at(textValue(text))
		}
	})
}
