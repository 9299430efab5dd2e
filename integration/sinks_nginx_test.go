package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nginxConfig is a proxy whose locations are as docs/operating.md has them, but that buffering is
// on, as by default: what walrelay says of it must do. A single process ends with the test.
const nginxConfig = `daemon off;
master_process off;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    server {
        listen LISTEN;
        location /events {
            proxy_pass http://WALRELAY;
            SETTINGS
            error_page 502 504 = @away;
        }
        location @away {
            default_type text/event-stream;
            add_header Cache-Control no-store always;
            return 200 "retry: 3000\n\n";
        }
    }
}
`

// startNginx starts one before a walrelay and gives its URL.
func startNginx(t testing.TB, r *relay, settings string) (url string) {
	t.Helper()
	path := os.Getenv("WALRELAY_TEST_NGINX")
	if path == "" {
		var err error
		if path, err = exec.LookPath("nginx"); err != nil {
			path = "/usr/sbin/nginx" // which is in the path of root only
		}
	}
	dir, address := tempDir(t), freeAddress(t)
	config := filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("DIR", dir, "LISTEN", address, "WALRELAY", strings.TrimPrefix(r.url, "http://"), "SETTINGS", settings).Replace(nginxConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, exec.Command(path, "-p", dir, "-c", config, "-e", "stderr"))
	url = "http://" + address
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, _, err := r.get(url); err == nil {
			return url
		}
		select {
		case <-p.done:
			t.Fatalf("nginx has ended: %s\n%s", p.err, p.stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer\n%s", p.stderr)
		}
	}
}

// Through nginx, which asks by HTTP/1.0 unless it is told to use 1.1, events arrive at once, a client
// that goes is noticed, ids resume, and the end of a stream is one. While walrelay is away clients
// are told to come back.
func TestSinksBehindNginx(t *testing.T) {
	t.Parallel()
	config := settings{http: "heartbeat: 300ms", channels: itemsChannels}.yaml()
	for name, settings := range map[string]string{
		"HTTP 1.0": "proxy_http_version 1.0;", // newer versions have another default
		"HTTP 1.1": `proxy_http_version 1.1; proxy_set_header Connection "";`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, itemsTable)
			r := newRelay(t, db, config)
			base := startNginx(t, r, settings)
			r.start(t)
			r.waitReady(t)
			s := openSSE(t, base+"/events?channel=items", nil)
			s.nextReady(t)
			if got := s.stream.resp.Header; got.Get("Content-Type") != "text/event-stream" || !strings.Contains(got.Get("Cache-Control"), "no-store") {
				t.Errorf("header %v", got)
			}
			for n := range 5 {
				db.exec(t, insertItem(n))
				s.wantRow(t, "insert", "items", n)
			}
			s.nextHeartbeat(t)
			s.close()
			r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == 0 })
			db.exec(t, insertItem(5))
			s.reconnect(t)
			s.wantResumed(t)
			s.wantRow(t, "insert", "items", 5)

			if exit := r.terminate(t); exit.code != 0 {
				t.Errorf("exit code %d; last line: %s", exit.code, exit.lastLine)
			}
			s.ended(t, "draining")
			if s.stream.err != nil {
				t.Errorf("the end is none: %v", s.stream.err)
			}
			away := ask(t, http.MethodGet, s.url, http.Header{"Accept": {"text/event-stream"}})
			if away.status != http.StatusOK || away.header.Get("Content-Type") != "text/event-stream" || away.body != "retry: 3000\n\n" {
				t.Errorf("while walrelay is away: %d %v %q", away.status, away.header, away.body)
			}
			db.exec(t, insertItem(6))
			for n := 6; n < 8; n++ { // after a drain, and after a kill
				r.start(t)
				r.waitReady(t)
				s.reconnect(t)
				s.wantResumed(t)
				s.wantRow(t, "insert", "items", n)
				r.kill9(t)
				s.waitEnd(t)
				db.exec(t, insertItem(n+1))
			}
		})
	}
}
