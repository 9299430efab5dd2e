package httpapi

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// ndjson is the application/x-ndjson encoding: one JSON object a line.
type ndjson struct{}

func (ndjson) opening(dst []byte, _ time.Duration) []byte { return dst }

func (ndjson) run(out *wire, r *channel.Run) error {
	out.take()
	for i := range r.Frames {
		out.buf = append(appendEvent(out.buf, r.Event(i)), '\n')
		if err := out.relieve(); err != nil {
			return err
		}
	}
	return nil
}

func (ndjson) bytes(dst []byte, r *channel.Run) ([]byte, bool) {
	for i := range r.Frames {
		dst = append(appendEvent(dst, r.Event(i)), '\n')
	}
	return dst, false
}

func (ndjson) wrote(*channel.Run) {}

func (ndjson) heartbeat(dst []byte, id channel.EventID) []byte {
	return append(appendEvent(dst, channel.Event{Name: "heartbeat", ID: id.Text(), Data: []byte("{}")}), '\n')
}

// end carries the time to wait, in milliseconds, that SSE has in its retry: line.
func (ndjson) end(dst []byte, reason string, retry time.Duration) []byte {
	data := appendReason(nil, reason)
	data = append(data[:len(data)-1], `,"retry":`...)
	data = append(strconv.AppendInt(data, retry.Milliseconds(), 10), '}')
	return append(appendEvent(dst, channel.Event{Name: endEvent, Data: data}), '\n')
}

// endEvent is the name of the last event of a stream.
const endEvent = "end"

// appendEvent appends the data object of e with its name and id put in front.
func appendEvent(dst []byte, e channel.Event) []byte {
	dst = append(dst, `{"event":`...)
	dst = appendString(dst, e.Name)
	if e.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, e.ID)
	}
	if len(e.Data) > len("{}") {
		dst = append(dst, ',')
		return append(dst, e.Data[1:]...)
	}
	return append(dst, '}')
}

// appendString appends s as a JSON string. Names and ids need no escapes.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // of a string: cannot fail
			return append(dst, quoted...)
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"')
}
