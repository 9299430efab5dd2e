package auth

import (
	"strings"
	"testing"
	"time"
)

// rash panics with what it reads.
type rash struct{}

func (rash) decode(c cookie, _ time.Time) (decoded, error) { panic(c.value) }

// TestPanicsAreCaught: a decoder that fails refuses, without a word of what it read. Not parallel:
// other tests let decoders panic.
func TestPanicsAreCaught(t *testing.T) {
	letPanic = false
	defer func() { letPanic = true }()
	_, cookieErr := guard{kind: "rash", inner: rash{}}.decode(cookie{value: "hunter2"}, time.Now())
	_, sealedErr := payloadCodec{inner: rash{}}.decodePayload("sid", []byte("hunter2"), time.Now())
	_, plainErr := payloadFunc(func(data []byte) (decoded, error) { panic(string(data)) }).decodePayload("sid", []byte("hunter2"), time.Now())
	for _, err := range []error{cookieErr, sealedErr, plainErr} {
		if reason, ok := ReasonOf(err); !ok || reason != Malformed || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
