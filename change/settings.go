package change

import "maps"

// textSettings are the session settings under which Postgres writes values as this package
// reads them, see "Client Connection Defaults".
var textSettings = map[string]string{
	"DateStyle":                   "ISO, MDY",
	"IntervalStyle":               "postgres",
	"TimeZone":                    "UTC",
	"extra_float_digits":          "1",
	"bytea_output":                "hex",
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
}

// TextSettings are the session settings that fix the text form of values, with more, which
// win. Every connection that reads values has them: the JSON of a row depends on them, and a
// value must not differ by where it comes from.
func TextSettings(more map[string]string) map[string]string {
	out := maps.Clone(textSettings)
	maps.Copy(out, more)
	return out
}
