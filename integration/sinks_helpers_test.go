package integration

import (
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// way is how streams get to a client: through shards, or through net/http's
// ResponseWriter.
type way struct {
	http   string // settings that lead to it, in flow style and without braces
	client *http.Client
	shards bool
	// got counts what arrived in bodies.
	got *atomic.Int64
}

// onSinks runs a test on each way, at the same time.
func onSinks(t *testing.T, test func(t *testing.T, w way)) {
	t.Parallel()
	for name, proto := range map[string]int{"shards": 0, "TLS": 1, "HTTP2": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWay(t, proto))
		})
	}
}

// newWay makes one: 0 is plain HTTP/1.1, 1 and 2 are versions of HTTP over TLS. Its clients keep
// little in the kernel, so that one who pauses is soon felt by the server.
func newWay(t *testing.T, proto int) way {
	t.Helper()
	const window = 256 << 10
	transport := newSSEClient(window).Transport.(*http.Transport)
	w := way{shards: proto == 0 && runtime.GOOS == "linux", got: &atomic.Int64{}}
	if proto > 0 {
		cert, key, pool := selfSigned(t)
		w.http = "tls: {cert: " + cert + ", key: " + key + "}"
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		transport.ForceAttemptHTTP2 = proto == 2
		transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: window}
	}
	w.client = &http.Client{Transport: &countingTransport{transport, w.got}}
	return w
}

// countingTransport counts the bytes of bodies.
type countingTransport struct {
	*http.Transport
	got *atomic.Int64
}

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = &countingBody{resp.Body, c.got}
	}
	return resp, err
}

type countingBody struct {
	io.ReadCloser
	got *atomic.Int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.got.Add(int64(n))
	return n, err
}

// settings are http's for a configuration: more, and those that lead this way.
func (w way) settings(more string) string {
	return strings.Trim(more+", "+w.http, ", ")
}

// start starts a walrelay that is reached this way, and checks that it is.
func (w way) start(t testing.TB, r *relay) *relay {
	t.Helper()
	r.start(t)
	r.waitReady(t)
	if w.http != "" {
		r.url = strings.Replace(r.url, "http:", "https:", 1)
	}
	return r
}

// open opens a stream and reads its ready event.
func (w way) open(t testing.TB, r *relay, header http.Header, channels ...string) *sse {
	t.Helper()
	s := open(t, w.client, r.streamURL(channels...), header)
	s.nextReady(t)
	_, stacks := r.admin(t, "/debug/pprof/goroutine?debug=1")
	if response := strings.Contains(stacks, "httpapi.(*responseSink).run"); response == w.shards {
		t.Fatalf("the stream has a goroutine of its own: %v, want %v", response, !w.shards)
	}
	return s
}

// refusal is the answer to a request for lines.
func (w way) refusal(t testing.TB, r *relay, header http.Header, channel string) answer {
	t.Helper()
	header = header.Clone()
	header.Set("Accept", "application/x-ndjson")
	return askWith(t, w.client, http.MethodGet, r.streamURL(channel), header)
}
