package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	plainKind, chunked, paired := kinds["plain"], kinds["authjs"], kinds["keygrip"]
	eight := make([]string, 0, maxChunks)
	for i := range maxChunks {
		eight = append(eight, fmt.Sprintf("s.%d=%d", i, i))
	}
	for _, c := range []struct {
		name, header string
		kind         kind
		want         string // values, with their signatures
		refused      Reason
	}{
		{"one", "a=1; s=x; b=2", plainKind, "x", ""},
		{"not there", "a=1", plainKind, "", ""},
		{"exact name", "S=1; __Host-s=2; s.0=3; xs=4; s =5", plainKind, "5", ""},
		{"spaces and quotes", ` s = "a b" ;s="`, plainKind, `a b|"`, ""},
		{"equals in the value", "s=a=b==", plainKind, "a=b==", ""},
		{"same value twice", "s=x; s=x", plainKind, "x", ""},
		{"four values", "s=1; s=2; s=3; s=4", plainKind, "1|2|3|4", ""},
		{"five values", "s=1; s=2; s=3; s=4; s=5", plainKind, "", TooLarge},
		{"no pairs", "s; =; ;;", plainKind, "", ""},
		{"empty value", "s=", plainKind, "", ""},
		{"chunks in any order", "s.1=b; x=1; s.0=a; s.2=c", chunked, "abc", ""},
		{"chunks of other kinds", "s.1=b; s.0=a", plainKind, "", ""},
		{"whole and chunks", "s=whole; s.0=a", chunked, "whole|a", ""},
		{"first missing", "s.1=b", chunked, "", Malformed},
		{"one missing", "s.0=a; s.2=c", chunked, "", Malformed},
		{"one twice", "s.0=a; s.0=a; s.1=b", chunked, "ab", ""},
		{"two of one number", "s.0=a; s.0=x; s.1=b", chunked, "", Malformed},
		{"odd number", "s.0=a; s.01=x", chunked, "", Malformed},
		{"eight", strings.Join(eight, ";"), chunked, "01234567", ""},
		{"nine", strings.Join(eight, ";") + ";s.8=8", chunked, "", TooLarge},
		{"no number", "s.x=1; s.=2; s.-1=3; s.100=4; s.+1=5", chunked, "", ""},
		{"too long together", "s.0=" + strings.Repeat("a", maxCookie) + "; s.1=b", chunked, "", TooLarge},
		{"pair", "s=v; s.sig=g", paired, "v/g", ""},
		{"pair without signature", "s=v", paired, "v", ""},
		{"signatures of others", "s=v; s.sig=g; s=w; s.sig=h", paired, "v/g|v/h|w/g|w/h", ""},
		{"five signatures", "s=v; s.sig=1; s.sig=2; s.sig=3; s.sig=4; s.sig=5", paired, "", TooLarge},
		{"512 cookies", strings.Repeat("a=1;", maxPairs-1) + "s=x", plainKind, "x", ""},
		{"513 cookies", strings.Repeat("a=1;", maxPairs) + "s=x", plainKind, "", TooLarge},
		{"long header", "s=" + strings.Repeat("a", maxCookieHeader), plainKind, "", TooLarge},
	} {
		got, err := candidatesOf(c.header, c.kind)
		if c.refused != "" && !refusedAs(err, c.refused) || c.refused == "" && err != nil {
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func candidatesOf(header string, k kind) (string, error) {
	j, err := parseCookies([]string{header})
	if err != nil {
		return "", err
	}
	found, err := j.candidates("s", k)
	var out []string
	for _, c := range found {
		text := c.value
		if c.signature != "" {
			text += "/" + c.signature
		}
		if c.name != "s" {
			text = "wrong name " + c.name
		}
		out = append(out, text)
	}
	return strings.Join(out, "|"), err
}

// TestPresence: a broken cookie is there all the same, so that no weaker entry is asked.
func TestPresence(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][2]bool{
		"s=": {true, true}, "s.3=x": {false, true}, "__Host-s=1": {false, false}, "S=1": {false, false}, "s.x=1": {false, false}, "s": {false, false},
	} {
		j, err := parseCookies([]string{"a=b", header})
		if got := [2]bool{j.present("s", kinds["plain"]), j.present("s", kinds["supabase"])}; got != want || err != nil {
			t.Errorf("%q: present %v, %v; want %v", header, got, err, want)
		}
	}
}

func TestSeveralCookieHeaders(t *testing.T) {
	t.Parallel()
	j, err := parseCookies([]string{"s=1", "s=2; t=3"})
	if got := j.values("s"); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("values %q, %v", got, err)
	}
	half := strings.Repeat("a", maxCookieHeader/2+1)
	if _, err := parseCookies([]string{half, half}); !refusedAs(err, TooLarge) {
		t.Errorf("two long headers: %v", err)
	}
}
