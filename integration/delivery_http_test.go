package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	itemsTable    = "create table items (id bigint primary key, name text)"
	itemsChannels = `
  items: {table: public.items, allow: public}
  "item/{id}": {table: public.items, where: row.id == params.id, allow: public}
`
)

// The answers that are not events: status, headers and a JSON body that says what
// to do.
func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	r := startRelay(t, newDatabase(t, itemsTable), settings{http: "allowed_origins: [https://app.example.com]", channels: itemsChannels}.yaml())
	for _, test := range []struct {
		name         string
		method, path string
		header       http.Header
		status       int
		code         string
		says         []string // parts of the message
	}{
		{"no such channel", "GET", "/events/itmes", nil, 404, "unknown_channel", []string{`"itmes"`, "channels:"}},
		{"no such channel in the query", "GET", "/events?channel=items&channel=itmes", nil, 404, "unknown_channel", []string{`"itmes"`}},
		{"below a channel", "GET", "/events/items/", nil, 404, "unknown_channel", []string{`"items/"`}},
		{"too many parts", "GET", "/events/item/7/8", nil, 404, "unknown_channel", nil},
		{"no channel", "GET", "/events", nil, 400, "no_channel", []string{"/events/orders", "?channel="}},
		{"no channel with slash", "GET", "/events/", nil, 400, "no_channel", nil},
		{"empty channel", "GET", "/events?channel=", nil, 400, "no_channel", nil},
		{"parameter of another type", "GET", "/events/item/seven", nil, 400, "bad_parameter", []string{`"item/seven"`, "parameter id", "bigint"}},
		{"parameter out of range", "GET", "/events/item/9223372036854775808", nil, 400, "bad_parameter", []string{"bigint"}},
		{"malformed query", "GET", "/events?channel=%zz", nil, 400, "bad_request", []string{"percent-encode"}},
		{"wait too long", "GET", "/events/items?wait=10h", http.Header{"Accept": {"application/json"}}, 400, "bad_parameter", []string{"wait", "1m0s"}},
		{"HEAD", "HEAD", "/events/items", nil, 405, "", nil},
		{"POST", "POST", "/events/items", nil, 405, "method_not_allowed", []string{"GET"}},
		{"DELETE", "DELETE", "/events/items", nil, 405, "method_not_allowed", nil},
		{"Accept: HTML", "GET", "/events/items", http.Header{"Accept": {"text/html"}}, 406, "not_acceptable", []string{"text/event-stream", "application/json", "application/x-ndjson"}},
		{"foreign origin", "GET", "/events/items", http.Header{"Origin": {"https://evil.example.com"}}, 403, "origin_refused", []string{"http.allowed_origins"}},
		{"foreign site", "GET", "/events/items", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "origin_refused", nil},
		{"sandboxed page", "GET", "/events/items", http.Header{"Origin": {"null"}}, 403, "origin_refused", nil},
		{"elsewhere", "GET", "/", nil, 404, "not_found", []string{"/events"}},
		{"base path as a prefix", "GET", "/eventsource", nil, 404, "not_found", nil},
		{"profiles", "GET", "/debug/pprof/", nil, 404, "not_found", nil},
		{"metrics", "GET", "/metrics", nil, 404, "not_found", nil},
		{"readiness", "GET", "/readyz", nil, 404, "not_found", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, test.method, r.url+test.path, test.header)
			if got.status != test.status {
				t.Fatalf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if got.status == 405 && got.header.Get("Allow") != "GET, OPTIONS" {
				t.Errorf("Allow: %q", got.header.Get("Allow"))
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers: %v", got.header)
			}
			if test.method == "HEAD" {
				return
			}
			var body struct{ Error, Message string }
			if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s: %s: %v", got.header.Get("Content-Type"), got.body, err)
			}
			if body.Error != test.code || body.Message == "" {
				t.Errorf("got %s", got.body)
			}
			for _, part := range test.says {
				if !strings.Contains(body.Message, part) {
					t.Errorf("the message does not say %q: %s", part, body.Message)
				}
			}
		})
	}
	if n := r.metric(t, `walrelay_rejected_total{reason="unknown_channel"}`); n != 4 {
		t.Errorf("walrelay_rejected_total counts %v unknown channels, want 4", n)
	}
}

// Each transport, asked for in each way, with the headers that keep proxies from
// holding it back.
func TestHTTPNegotiation(t *testing.T) {
	t.Parallel()
	r := startRelay(t, newDatabase(t, itemsTable), settings{channels: itemsChannels}.yaml())
	const sse, lines, poll = "text/event-stream", "application/x-ndjson", "application/json"
	for accept, want := range map[string]string{
		"":                               sse,
		"*/*":                            sse,
		"text/*":                         sse,
		"text/event-stream":              sse,
		"text/html, */*;q=0.1":           sse,
		"application/x-ndjson":           lines,
		"application/json":               poll,
		"application/json;q=0.5, text/*": sse,
		"text/event-stream;q=0.1, application/x-ndjson": lines,
	} {
		header := http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip, br"}}
		if accept == "" {
			header.Del("Accept")
		}
		status, got := openAnswer(t, client, r.url+"/events/items?wait=1ms", header)
		if status != 200 || got.Get("Content-Type") != want {
			t.Errorf("Accept: %s: got %d %s, want %s", accept, status, got.Get("Content-Type"), want)
		}
		for name, value := range map[string]string{
			"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Vary": "Origin, Cookie, Authorization",
			"X-Content-Type-Options": "nosniff", "Content-Encoding": "",
		} {
			if got.Get(name) != value {
				t.Errorf("Accept: %s: %s: got %q, want %q", accept, name, got.Get(name), value)
			}
		}
	}
}

// openAnswer asks and hangs up once the headers are there.
func openAnswer(t testing.TB, client *http.Client, url string, header http.Header) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// Pages of listed origins may read, with cookies; others get nothing.
func TestHTTPOrigins(t *testing.T) {
	t.Parallel()
	r := startRelay(t, newDatabase(t, itemsTable), settings{
		http:     `base_path: /live/rows, allowed_origins: [https://app.example.com, "http://localhost:3000"]`,
		channels: itemsChannels}.yaml())
	host := strings.TrimPrefix(r.url, "http://")
	for _, test := range []struct {
		name   string
		header http.Header
		status int
		allow  string
	}{
		{"no browser", nil, 200, ""},
		{"listed", http.Header{"Origin": {"https://app.example.com"}, "Sec-Fetch-Site": {"cross-site"}}, 200, "https://app.example.com"},
		{"listed with port", http.Header{"Origin": {"http://localhost:3000"}}, 200, "http://localhost:3000"},
		{"other scheme", http.Header{"Origin": {"http://app.example.com"}}, 403, ""},
		{"sub-domain", http.Header{"Origin": {"https://a.app.example.com"}}, 403, ""},
		{"same origin", http.Header{"Origin": {r.url}}, 200, ""},
		{"same origin, the browser says so", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200, ""},
		{"same site is not same origin", http.Header{"Origin": {"http://other.localhost"}, "Sec-Fetch-Site": {"same-site"}}, 403, ""},
		{"behind a trusted proxy", http.Header{"Origin": {"https://www.example.com"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"www.example.com"}}, 200, ""},
	} {
		status, header := openAnswer(t, client, "http://"+host+"/live/rows/items", test.header)
		if status != test.status || header.Get("Access-Control-Allow-Origin") != test.allow {
			t.Errorf("%s: got %d and Access-Control-Allow-Origin %q, want %d and %q", test.name, status, header.Get("Access-Control-Allow-Origin"), test.status, test.allow)
		}
		if credentials := header.Get("Access-Control-Allow-Credentials"); (credentials == "true") != (test.allow != "") {
			t.Errorf("%s: Access-Control-Allow-Credentials %q", test.name, credentials)
		}
	}
	got := ask(t, "OPTIONS", r.url+"/live/rows/items", http.Header{"Origin": {"https://app.example.com"},
		"Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"last-event-id"}})
	if got.status != 204 || got.header.Get("Access-Control-Allow-Methods") != "GET" || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "last-event-id") {
		t.Errorf("preflight: got %d, %v", got.status, got.header)
	}
	if got := ask(t, "OPTIONS", r.url+"/live/rows/items", http.Header{"Origin": {"https://evil.example.com"}, "Access-Control-Request-Method": {"GET"}}); got.status != 403 || got.header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("preflight of a foreign origin: got %d, %v", got.status, got.header)
	}
	if got := ask(t, "GET", r.url+"/events/items", nil); got.status != 404 || !strings.Contains(got.body, "/live/rows") {
		t.Errorf("the default path with another base_path: got %d %s", got.status, got.body)
	}
}

// Whoever holds too much is told to come back, and is let in once there is room.
// Addresses are those that a trusted proxy names.
func TestHTTPLimits(t *testing.T) {
	t.Parallel()
	r := startRelay(t, newDatabase(t, itemsTable), settings{http: "limits: {connections: 4, per_ip: 2, channels: 3}", channels: itemsChannels}.yaml())
	from := func(ip string) http.Header { return http.Header{"X-Forwarded-For": {"203.0.113.9, " + ip}} }
	lines := func(ip string) http.Header {
		return http.Header{"X-Forwarded-For": {ip}, "Accept": {"application/x-ndjson"}}
	}
	a := openSSE(t, r.streamURL("items"), from("192.0.2.1"))
	b := openSSE(t, r.streamURL("items"), from("192.0.2.1"))
	a.nextReady(t)
	b.nextReady(t)

	wantEnd(t, r, from("192.0.2.1"), "limit")
	got := ask(t, "GET", r.streamURL("items"), lines("192.0.2.1"))
	if wait, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != 429 || err != nil || wait < 1 || !strings.Contains(got.body, "http.limits.per_ip") {
		t.Errorf("third line stream of an address: got %d, Retry-After %q: %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	// One IPv6 network is one address.
	c := openSSE(t, r.streamURL("items"), from("2001:db8:1:2::1"))
	d := openSSE(t, r.streamURL("items"), from("2001:db8:1:2::ffff"))
	c.nextReady(t)
	d.nextReady(t)
	if got := ask(t, "GET", r.streamURL("items"), lines("192.0.2.77")); got.status != 503 || !strings.Contains(got.body, "http.limits.connections") {
		t.Errorf("fifth stream: got %d: %s", got.status, got.body)
	}
	a.close()
	c.close()
	r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == 2 })
	openSSE(t, r.streamURL("items"), from("192.0.2.1")).nextReady(t)

	got = ask(t, "GET", r.streamURL("items", "item/1", "item/2", "item/3"), nil)
	if got.status != 400 || !strings.Contains(got.body, "too_many_channels") || !strings.Contains(got.body, "http.limits.channels") {
		t.Errorf("four channels: got %d: %s", got.status, got.body)
	}
	openSSE(t, r.streamURL("items", "item/1", "item/2", "items"), from("192.0.2.5")).nextReady(t) // one of them twice
}

// wantEnd opens a stream that should get nothing but an end that brings an
// EventSource back.
func wantEnd(t testing.TB, r *relay, header http.Header, reason string) {
	t.Helper()
	s := openSSE(t, r.streamURL("items"), header)
	frames := s.waitEnd(t)
	if len(frames) != 1 || frames[0].event != "end" || eventOf(t, frames[0]).Reason != reason || frames[0].retry < 100*time.Millisecond || frames[0].hasID {
		t.Errorf("got %+v, want one end %s with a time to come back", frames, reason)
	}
}

// HTTP/2 where TLS ends at walrelay: many streams on one connection.
func TestHTTP2OverTLS(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	cert, key, pool := selfSigned(t)
	r := startRelay(t, db, settings{http: fmt.Sprintf("heartbeat: 1s, tls: {cert: %q, key: %q}", cert, key), channels: itemsChannels}.yaml())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	base := strings.Replace(r.url, "http:", "https:", 1)
	manyStreams(t, db, base, &http.Client{Transport: transport})
	if got := ask(t, "GET", r.url+"/events/items", nil); got.status != 400 {
		t.Errorf("plain HTTP on the TLS port: got %d %s", got.status, got.body)
	}
	status, header := openAnswer(t, &http.Client{Transport: transport}, base+"/events/items", http.Header{"Origin": {base}})
	if status != 200 {
		t.Errorf("same origin over TLS: got %d %v", status, header)
	}
}

// HTTP/2 without TLS, from a proxy.
func TestHTTP2Cleartext(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "heartbeat: 1s, h2c: true", channels: itemsChannels}.yaml())
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	manyStreams(t, db, r.url, &http.Client{Transport: transport})
	if got := ask(t, "GET", r.url+"/events/items?wait=0s", http.Header{"Accept": {"application/json"}}); got.status != 200 {
		t.Errorf("HTTP/1.1 beside it: got %d %s", got.status, got.body)
	}
}

// manyStreams opens more streams than a browser has connections, and checks rows,
// heartbeats, the cut of one of them, and a resume.
func manyStreams(t *testing.T, db *database, base string, client *http.Client) {
	t.Helper()
	streams := make([]*sse, 20)
	for i := range streams {
		streams[i] = open(t, client, base+"/events/items", nil)
		if streams[i].nextReady(t); streams[i].stream.resp.ProtoMajor != 2 {
			t.Fatalf("got %s", streams[i].stream.resp.Proto)
		}
	}
	db.exec(t, insertItem(1))
	for _, s := range streams {
		s.wantRow(t, "insert", "items", 1)
	}
	streams[0].close()
	db.exec(t, insertItem(2))
	for _, s := range streams[1:] {
		s.wantRow(t, "insert", "items", 2)
	}
	for _, s := range streams[1:] {
		s.nextHeartbeat(t) // also after the write deadline of what came before was set
	}
	streams[0].reconnect(t)
	if !streams[0].nextReady(t).Resumed {
		t.Error("not resumed")
	}
	streams[0].wantRow(t, "insert", "items", 2)
	for _, s := range streams {
		s.close()
	}
}

// selfSigned is a certificate for 127.0.0.1 in files, and who trusts it.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "walrelay test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER), pool
}

// In development the application is behind walrelay: one origin for pages and
// streams.
func TestHTTPUpstream(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "x", Path: "/"})
		body, _ := io.ReadAll(r.Body) // what came of it
		fmt.Fprintf(w, "%s %s host=%s for=%s body=%s", r.Method, r.URL, r.Host, r.Header.Get("X-Forwarded-For"), body)
	}))
	defer app.Close()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "upstream: " + app.URL, channels: itemsChannels}.yaml())
	host := strings.TrimPrefix(r.url, "http://")

	got := ask(t, "GET", r.url+"/page?a=%2F", nil)
	if want := "GET /page?a=%2F host=" + host + " for=127.0.0.1 body="; got.status != 200 || got.body != want || !strings.HasPrefix(got.header.Get("Set-Cookie"), "session=x") {
		t.Errorf("got %d %q %v, want %q", got.status, got.body, got.header, want)
	}
	if got := ask(t, "POST", r.url+"/eventsource", nil); got.status != 200 || !strings.HasPrefix(got.body, "POST /eventsource") {
		t.Errorf("got %d %q", got.status, got.body)
	}
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	db.exec(t, insertItem(1))
	s.wantRow(t, "insert", "items", 1)
	if got := ask(t, "GET", r.url+"/events/nope", nil); got.status != 404 || !strings.Contains(got.body, "unknown_channel") {
		t.Errorf("below the base path: got %d %s", got.status, got.body)
	}

	app.Close()
	if got := ask(t, "GET", r.url+"/page", nil); got.status != 502 || !strings.Contains(got.body, app.URL) || !strings.Contains(got.body, "http.upstream") {
		t.Errorf("with the application down: got %d %s", got.status, got.body)
	}
	db.exec(t, insertItem(2))
	s.wantRow(t, "insert", "items", 2)
}
