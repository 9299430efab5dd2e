package httpapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// logBuffer collects log lines of all levels.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newLogBuffer() *logBuffer { return &logBuffer{} }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestDrain(t *testing.T) {
	hub := newFakeHub()
	s := newServer(t, Options{Hub: hub, Listen: "127.0.0.1:0", Admin: AdminOptions{Listen: "127.0.0.1:0"}})
	stop := run(t, s)
	var streams []reader
	for range 20 {
		streams = append(streams, newReader(get(t, target(s, "/events/orders"))))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for _, r := range streams {
		r.block(t) // retry
		r.block(t) // ready
		checkEnd(t, r.rest(t), "draining", 500, 5000)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := ends(t, s, "draining"); got != 20 {
		t.Errorf("%v streams ended by draining, want 20", got)
	}
	for _, addr := range []net.Addr{s.Addr(), s.AdminAddr()} {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			t.Errorf("%s still accepts connections", addr)
		}
	}
}

// While streams that do not end are waited for, new ones are told to come back and
// readiness says why.
func TestDrainRefusesNewStreams(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, Admin: AdminOptions{Listen: "127.0.0.1:0"}})
	s.streams.close()
	resp := get(t, target(s, "/events/orders"))
	checkEnd(t, body(t, resp), "draining", 500, 5000)
	if !resp.Close {
		t.Error("the connection is kept")
	}
	resp = get(t, target(s, "/events/orders"), acceptJSON)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("long poll: status %d, header %v", resp.StatusCode, resp.Header)
	}
	resp = get(t, "http://"+s.AdminAddr().String()+"/readyz")
	if got := body(t, resp); resp.StatusCode != 503 || !strings.Contains(got, `{"check":"http","message":"walrelay is shutting down"}`) {
		t.Errorf("/readyz: %d %s", resp.StatusCode, got)
	}
}

// A client that does not read cannot hold up the end.
func TestDrainIsBounded(t *testing.T) {
	log := newLogBuffer()
	hub := newFakeHub()
	s := newServer(t, Options{Hub: hub, Listen: "127.0.0.1:0", ShutdownTimeout: 50 * time.Millisecond, Logger: log.logger()})
	stop := run(t, s)
	conn := dialStuck(t, s)
	defer conn.Close()
	sub := <-hub.came
	sub.push(bigRun())
	await(t, "the queue to be taken", func() bool { return sub.LastID() != "" })
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if !strings.Contains(log.String(), "drain took longer than shutdown_timeout") {
		t.Errorf("the log says nothing of the drain:\n%s", log)
	}
}

// dialStuck asks for a stream on a connection that nobody reads from.
func dialStuck(t *testing.T, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /events/orders HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// bigRun is more than the socket buffers hold.
var bigRun = sync.OnceValue(func() *channel.Run {
	return insert("0/20.0.aaaaaa", `{"row":"`+strings.Repeat("x", 32<<20)+`"}`)
})

func TestSlowClient(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, WriteTimeout: 200 * time.Millisecond})
	conn := dialStuck(t, s)
	defer conn.Close()
	sub := <-hub.came
	sub.push(bigRun())
	await(t, "subscriber closed", sub.isClosed)
	await(t, "end counted", func() bool { return ends(t, s, endSlow)+ends(t, s, endWrite)+ends(t, s, endClient) == 1 })
}

func TestSlowHTTP2Client(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, H2C: true, WriteTimeout: 200 * time.Millisecond})
	resp := send(t, h2cClient(), "GET", target(s, "/events/orders")) // its body is not read
	if resp.ProtoMajor != 2 {
		t.Fatalf("protocol %s", resp.Proto)
	}
	sub := <-hub.came
	sub.push(bigRun())
	await(t, "subscriber closed", sub.isClosed)
}

// An idle HTTP/2 stream outlives the write timeout.
func TestIdleHTTP2Stream(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, H2C: true, WriteTimeout: 100 * time.Millisecond})
	events := newReader(send(t, h2cClient(), "GET", target(s, "/events/orders")))
	sub := <-hub.came
	events.block(t)
	events.block(t)
	select {
	case <-time.After(300 * time.Millisecond): // real sockets have real time
	case <-t.Context().Done():
	}
	sub.push(insert("0/20.0.aaaaaa", `{}`))
	if got := events.block(t); !strings.HasPrefix(got, "event: insert\n") {
		t.Errorf("got %q", got)
	}
}

func h2cClient() *http.Client {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &p}}
}

func TestProtocols(t *testing.T) {
	cert, key, pool := certificate(t)
	tlsClient := func(h2 bool) *http.Client {
		var p http.Protocols
		p.SetHTTP1(!h2)
		p.SetHTTP2(h2)
		return &http.Client{Transport: &http.Transport{Protocols: &p, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	}
	h1Client := func() *http.Client { return &http.Client{Transport: &http.Transport{}} }
	tests := []struct {
		name   string
		o      Options
		client *http.Client
		scheme string
		major  int
		tls    bool
	}{
		{"plain", Options{}, h1Client(), "http", 1, false},
		{"h2c", Options{H2C: true}, h2cClient(), "http", 2, false},
		{"plain beside h2c", Options{H2C: true}, h1Client(), "http", 1, false},
		{"TLS", Options{TLSCert: cert, TLSKey: key}, tlsClient(false), "https", 1, true},
		{"TLS and HTTP/2", Options{TLSCert: cert, TLSKey: key}, tlsClient(true), "https", 2, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hub := newFakeHub()
			tt.o.Hub = hub
			s := start(t, tt.o)
			resp := send(t, tt.client, "GET", tt.scheme+"://"+s.Addr().String()+"/events/orders")
			if resp.ProtoMajor != tt.major || (resp.TLS != nil) != tt.tls {
				t.Errorf("protocol %s, TLS %v", resp.Proto, resp.TLS != nil)
			}
			events := newReader(resp)
			events.block(t)
			if got := events.block(t); !strings.HasPrefix(got, "event: ready\n") {
				t.Errorf("got %q", got)
			}
			(<-hub.came).finish("gap")
			checkEnd(t, events.rest(t), "gap", 1600, 2400)
		})
	}
}

// certificate writes a certificate for 127.0.0.1.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, data := range map[string][]byte{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"port taken", Options{Listen: addr}, "http.listen: " + addr + " is taken by another process; stop it (ss -ltnp 'sport = :" + port + "' names it)"},
		{"admin port taken", Options{Listen: "127.0.0.1:0", Admin: AdminOptions{Listen: addr}}, "admin.listen: " + addr + " is taken by another process"},
		{"foreign address", Options{Listen: "192.0.2.1:0"}, "http.listen: no interface of this machine has the address of 192.0.2.1:0"},
		{"no port", Options{Listen: "localhost"}, `http.listen: cannot listen on "localhost" (expected host:port`},
		{"no certificate", Options{Listen: "127.0.0.1:0", TLSCert: "/nonexistent/cert", TLSKey: "/nonexistent/key"}, "http.tls: load cert /nonexistent/cert and key /nonexistent/key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Hub = newFakeHub()
			s := newServer(t, tt.o)
			if err := s.Listen(t.Context()); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Listen: %v, want %s", err, tt.want)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func TestCloseWithoutServe(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub(), Listen: "127.0.0.1:0", Admin: AdminOptions{Listen: "127.0.0.1:0"}})
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the listener is still open")
	}
}

// Close ends streams without ceremony, and Serve returns.
func TestCloseWhileServing(t *testing.T) {
	hub := newFakeHub()
	s := newServer(t, Options{Hub: hub, Listen: "127.0.0.1:0"})
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	get(t, target(s, "/events/orders"))
	<-hub.came
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeNeedsListen(t *testing.T) {
	if err := newServer(t, Options{Hub: newFakeHub()}).Serve(t.Context()); err == nil {
		t.Error("Serve without Listen")
	}
}

// A listener that breaks ends Serve with an error.
func TestBrokenListener(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub(), Listen: "127.0.0.1:0"})
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.publicLn.Close(); err != nil {
		t.Fatal(err)
	}
	err := s.Serve(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "http.listen: serve: ") || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

func TestOptionErrors(t *testing.T) {
	_, err := New(Options{BasePath: "events/", TLSCert: "cert.pem", AllowedOrigins: []string{"*", "https://ok.example"}, Upstream: "localhost:3000", Heartbeat: -1, Limits: Limits{PerIP: -1}})
	if err == nil {
		t.Fatal("New accepted everything")
	}
	for _, want := range []string{"Options.Hub", "http.base_path", "http.tls", "http.allowed_origins: *", "http.upstream", "http.heartbeat", "http.limits.per_ip"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s:\n%v", want, err)
		}
	}
}

func TestErrorLogLevels(t *testing.T) {
	log := newLogBuffer()
	w := &errorLog{log.logger()}
	for line, level := range map[string]string{
		"http: panic serving 127.0.0.1:1: boom\n":                    "ERROR",
		"http: Accept error: too many open files; retrying in 5ms\n": "WARN",
		"http: TLS handshake error from 127.0.0.1:1: EOF\n":          "DEBUG",
	} {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "level="+level) {
			t.Errorf("%q is not at level %s:\n%s", line, level, log)
		}
	}
}
