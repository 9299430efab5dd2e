package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// ask is a request for events, parsed.
type ask struct {
	kind kind
	channel.Request
	// wait is how long a long poll may take.
	wait time.Duration
}

const (
	defaultWait = 25 * time.Second
	maxWait     = 60 * time.Second
	// maxEventID bounds the id a client may send; ours are much shorter.
	maxEventID = 256
	// notAnID stands for an id that is too long or has bytes that no id has. It is
	// none itself, so the hub answers reset{unknown-id}.
	notAnID = "?"
)

// parseAsk reads a GET request. Its errors are refusals.
func (s *Server) parseAsk(r *http.Request) (*ask, error) {
	k, err := negotiate(r.Header)
	if err != nil {
		return nil, err
	}
	if r.ContentLength != 0 {
		return nil, refuse(http.StatusBadRequest, "bad_request", "a request for events has no body; put the channels into the path or the query")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "bad_request", "the query string is malformed; percent-encode its values")
	}
	a := &ask{kind: k, wait: defaultWait}
	a.LastEventID = lastEventID(r.Header, query)
	if a.Channels, err = s.channelsOf(r.URL.Path, query); err != nil {
		return nil, err
	}
	if k == kindPoll && query.Has("wait") {
		a.wait, err = parseWait(query.Get("wait"))
	}
	return a, err
}

// lastEventID is where the client wants to go on, empty for a first connect.
func lastEventID(h http.Header, query url.Values) string {
	for _, id := range []string{h.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId")} {
		if id == "" {
			continue
		}
		if len(id) > maxEventID || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return notAnID
		}
		return id
	}
	return ""
}

// channelsOf collects the names in the path and in the query, each once.
func (s *Server) channelsOf(path string, query url.Values) ([]string, error) {
	var names []string
	if name := strings.TrimPrefix(strings.TrimPrefix(path, s.base), "/"); name != "" {
		names = append(names, name)
	}
	for _, name := range query["channel"] {
		if name == "" {
			return nil, refuse(http.StatusBadRequest, "no_channel", "channel= has no value; name a channel, for example ?channel=orders")
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if len(names) > s.opt.Limits.Channels {
			return nil, refuse(http.StatusBadRequest, "too_many_channels",
				"more than %d channels on one stream; open another stream or raise http.limits.channels", s.opt.Limits.Channels)
		}
	}
	if len(names) == 0 {
		return nil, refuse(http.StatusBadRequest, "no_channel",
			"name a channel, for example %s/orders or %s?channel=orders; channel= may be repeated", s.base, s.opt.BasePath)
	}
	return names, nil
}

// parseWait reads a duration such as 25s, or a number of seconds.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseUint(text, 10, 16); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxWait {
		return 0, refuse(http.StatusBadRequest, "bad_parameter", "wait must be a duration from 0s to %s, for example wait=25s", maxWait)
	}
	return d, nil
}
