package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// kind is a transport.
type kind int

// The transports, in order of preference where a client leaves the choice to us.
const (
	kindSSE kind = iota
	kindPoll
	kindLines
)

var kinds = [...]kind{kindSSE, kindPoll, kindLines}

// String is the label of the transport in metrics and logs.
func (k kind) String() string { return [...]string{"sse", "long_poll", "ndjson"}[k] }

func (k kind) contentType() string {
	return [...]string{"text/event-stream", "application/json", "application/x-ndjson"}[k]
}

// negotiate chooses the transport by the Accept header: by quality, then by how
// exactly the client named it, then by our preference.
func negotiate(h http.Header) (kind, error) {
	accept := strings.Join(h.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return kindSSE, nil
	}
	ranges := parseAccept(accept)
	best, quality, exactness := kindSSE, 0.0, 0
	for _, k := range kinds {
		q, exact := ranges.quality(k.contentType())
		if q > quality || q == quality && exact > exactness {
			best, quality, exactness = k, q, exact
		}
	}
	if quality == 0 {
		return 0, refuse(http.StatusNotAcceptable, "not_acceptable",
			"send Accept: text/event-stream (a stream), application/json (long poll) or application/x-ndjson (lines)")
	}
	return best, nil
}

// asksForStream reports whether the request would be answered with an event stream.
func asksForStream(r *http.Request) bool {
	k, err := negotiate(r.Header)
	return err == nil && k == kindSSE && r.Method == http.MethodGet
}

type mediaRange struct {
	name    string // type/subtype, type/* or */*
	quality float64
}

type mediaRanges []mediaRange

// parseAccept reads an Accept header; ranges that are malformed are left out.
func parseAccept(accept string) mediaRanges {
	var out mediaRanges
	for _, part := range strings.Split(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		out = append(out, mediaRange{name, q})
	}
	return out
}

// quality is that of the most exact range that covers the content type, and how
// exact this is: 3 for the type itself, 1 for */*, 0 for none.
func (rs mediaRanges) quality(contentType string) (q float64, exactness int) {
	major, _, _ := strings.Cut(contentType, "/")
	for _, r := range rs {
		exact := 0
		switch r.name {
		case contentType:
			exact = 3
		case major + "/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		if exact > exactness {
			q, exactness = r.quality, exact
		}
	}
	return q, exactness
}
