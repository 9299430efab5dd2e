package auth

import (
	"slices"
	"strconv"
	"strings"
)

// What a Cookie header may hold.
const (
	maxCookieHeader = 64 << 10
	maxPairs        = 512
	maxSameName     = 4 // different values of one name
	maxChunks       = 8
)

// jar is what the Cookie headers of a request say: names as sent, in their order, and
// values with their percent-encoding.
type jar []cookie

// parseCookies reads the Cookie headers of a request. What is not name=value is
// skipped, as frameworks do.
func parseCookies(headers []string) (jar, error) {
	size := 0
	for _, header := range headers {
		size += len(header)
	}
	if size > maxCookieHeader {
		return nil, refuse(TooLarge, "the Cookie header is longer than 64 KiB")
	}
	var out jar
	for _, header := range headers {
		for pair := range strings.SplitSeq(header, ";") {
			if len(out) >= maxPairs {
				return nil, refuse(TooLarge, "the Cookie header has more than 512 cookies")
			}
			name, value, ok := strings.Cut(pair, "=")
			if name = strings.Trim(name, " \t"); ok && name != "" {
				out = append(out, cookie{name: name, value: unquote(strings.Trim(value, " \t"))})
			}
		}
	}
	return out, nil
}

func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// values are the different values of a name, which is compared exactly: __Host-sid is
// another cookie than sid.
func (j jar) values(name string) []string {
	var out []string
	for _, c := range j {
		if c.name == name && !slices.Contains(out, c.value) {
			out = append(out, c.value)
		}
	}
	return out
}

// present reports whether the request sends anything under a name, if only a chunk of
// it: whether it is any good is another question.
func (j jar) present(name string, k kind) bool {
	return slices.ContainsFunc(j, func(c cookie) bool {
		return c.name == name || k.chunked && chunkOf(c.name, name)
	})
}

// chunkOf reports whether full is name.0, name.1 and so on.
func chunkOf(full, name string) bool {
	suffix, ok := strings.CutPrefix(full, name+".")
	if !ok || suffix == "" || len(suffix) > 2 {
		return false
	}
	_, err := strconv.ParseUint(suffix, 10, 8)
	return err == nil
}

// candidates are what the decoder of a kind is asked about: every different value
// under the name, with every signature where that is a cookie of its own, and the
// joined chunks. None means that the name is not present.
func (j jar) candidates(name string, k kind) ([]cookie, error) {
	values := j.values(name)
	if k.chunked {
		joined, err := j.join(name)
		if err != nil {
			return nil, err
		}
		if joined != "" && !slices.Contains(values, joined) {
			values = append(values, joined)
		}
	}
	if len(values) > maxSameName {
		return nil, refuse(TooLarge, "more than 4 different values under one name")
	}
	signatures := []string{""}
	if k.paired {
		if found := j.values(name + ".sig"); len(found) > maxSameName {
			return nil, refuse(TooLarge, "more than 4 different values under one name")
		} else if len(found) > 0 {
			signatures = found
		}
	}
	var out []cookie
	for _, value := range values {
		for _, signature := range signatures {
			out = append(out, cookie{name: name, value: value, signature: signature})
		}
	}
	return out, nil
}

// join puts name.0, name.1, ... together; empty when there are none. Chunks must be
// all there, once each: a second one under the same name is somebody else's.
func (j jar) join(name string) (string, error) {
	var chunks [maxChunks]*string
	count, last := 0, -1
	for i, c := range j {
		if !chunkOf(c.name, name) {
			continue
		}
		n, err := strconv.Atoi(c.name[len(name)+1:])
		switch {
		case err != nil || n >= maxChunks:
			return "", refuse(TooLarge, "more than 8 chunks")
		case strconv.Itoa(n) != c.name[len(name)+1:]:
			return "", refuse(Malformed, "the number of a chunk is written oddly")
		case chunks[n] != nil && *chunks[n] != c.value:
			return "", refuse(Malformed, "two chunks have the same name")
		case chunks[n] == nil:
			count++
		}
		chunks[n] = &j[i].value
		last = max(last, n)
	}
	if count != last+1 {
		return "", refuse(Malformed, "a chunk is missing")
	}
	return joinChunks(chunks[:count])
}

func joinChunks(chunks []*string) (string, error) {
	var out strings.Builder
	for _, chunk := range chunks {
		if out.Len()+len(*chunk) > maxCookie {
			return "", refuse(TooLarge, "the chunks are longer than 16 KiB together")
		}
		out.WriteString(*chunk)
	}
	return out.String(), nil
}
