package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// What the admin port says while all is well and while Postgres does not want us.
func TestAdminHealth(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "heartbeat: 300ms", channels: itemsChannels}.yaml())
	type readyz struct {
		Ready   bool
		Reasons []struct{ Check, Message string }
		Log     struct {
			Floor, Last, WAL, Durable string
			Bytes, Batches            int64
		}
		Slot struct {
			Name          string
			WALStatus     string `json:"wal_status"`
			Confirmed     string `json:"confirmed_flush_lsn"`
			RetainedBytes int64  `json:"retained_bytes"`
		}
	}
	look := func() (status int, got readyz) {
		status, body := r.admin(t, "/readyz")
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("/readyz: %v: %s", err, body)
		}
		return status, got
	}
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	db.exec(t, insertItem(1))
	s.wantRow(t, "insert", "items", 1)
	r.waitMetric(t, "walrelay_slot_retained_bytes", func(v float64) bool { return v > 0 })
	r.waitMetric(t, "walrelay_log_batches", func(v float64) bool { return v > 0 }) // rows are served before they are on disk
	status, got := look()
	if status != http.StatusOK || !got.Ready || got.Reasons == nil || len(got.Reasons) != 0 {
		t.Errorf("/readyz: %d %+v", status, got)
	}
	if got.Slot.Name != db.name || got.Slot.WALStatus != "reserved" || lsn(t, got.Slot.Confirmed) == 0 || got.Log.Batches == 0 || lsn(t, got.Log.WAL) == 0 {
		t.Errorf("/readyz: %+v", got)
	}
	if positionOf(t, got.Log.Last).Less(positionOf(t, s.lastID)) {
		t.Errorf("/readyz: the log ends at %s, before the event %s", got.Log.Last, s.lastID)
	}

	// Postgres away: not ready and says why, but alive, and serving from the log.
	admin, err := db.cluster.ConnTo(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	for _, sql := range []string{
		"alter database " + db.name + " allow_connections false",
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + db.name + "'",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r.waitMetric(t, "walrelay_replication_streaming", func(v float64) bool { return v == 0 })
	status, got = look()
	if status != http.StatusServiceUnavailable || got.Ready || len(got.Reasons) != 2 || got.Reasons[0].Check != "postgres" || got.Reasons[1].Check != "slot" || got.Reasons[0].Message == "" {
		t.Errorf("with Postgres away: /readyz: %d %+v", status, got)
	}
	if status, body := r.admin(t, "/healthz"); status != http.StatusOK || strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("/healthz: %d %s", status, body)
	}
	again := openSSE(t, r.streamURL("items"), resumeAt(change.Before(1).String()))
	again.next(t) // whatever it is, it comes
	s.nextHeartbeat(t)
	if _, err := admin.Exec(t.Context(), "alter database "+db.name+" allow_connections true"); err != nil {
		t.Fatal(err)
	}
	r.waitReady(t)
	db.exec(t, insertItem(2))
	s.wantRow(t, "insert", "items", 2)
}

// Metrics count what happens; what the docs tell operators to watch is there.
func TestAdminMetrics(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	for id := range 10 {
		db.exec(t, insertItem(id))
		s.wantRow(t, "insert", "items", id)
	}
	r.poll(t, s.lastID, "0s", "items")
	if status, body, err := r.get(r.url + "/events/nonsense"); err != nil || status != http.StatusNotFound {
		t.Fatalf("a channel that is not: %d %s %v", status, body, err)
	}
	for name, want := range map[string]float64{
		`walrelay_connections{transport="sse"}`:                   1,
		`walrelay_connections_total{transport="long_poll"}`:       1,
		`walrelay_events_written_total{transport="sse"}`:          11, // with ready
		`walrelay_commit_to_write_seconds_count{transport="sse"}`: 10,
		`walrelay_ends_total{reason="answered"}`:                  1,
		`walrelay_rejected_total{reason="unknown_channel"}`:       1,
		`walrelay_subscribers`:                                    1,
		`walrelay_replication_streaming`:                          1,
		`walrelay_log_batches`:                                    -1,
		`walrelay_log_bytes`:                                      -1,
		`walrelay_log_durable_lsn`:                                -1,
		`walrelay_replication_confirmed_lsn`:                      -1,
		`walrelay_replication_behind_seconds`:                     -1,
		`walrelay_written_bytes_total{transport="sse"}`:           -1,
		`walrelay_wal_budget_bytes`:                               10 << 30,
	} {
		r.waitMetric(t, name, func(v float64) bool { return v == want || want < 0 && v > 0 })
	}
	_, text := r.admin(t, "/metrics")
	for _, name := range documentedMetrics(t) {
		if !strings.HasPrefix(name, "walrelay_auth_") && !strings.Contains(text, "\n"+name) { // those: TestAuthMetrics
			t.Errorf("the docs name %s, /metrics does not", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (walrelay_\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?m)^# HELP ` + m[1] + ` .{10,}`).MatchString(text) {
			t.Errorf("%s has no help", m[1])
		}
	}

	if status, body := r.admin(t, "/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(body, "goroutine profile:") {
		t.Errorf("/debug/pprof/goroutine: %d %.100s", status, body)
	}
	if status, body := r.admin(t, "/events/items?as=nonsense"); status != http.StatusBadRequest || !strings.Contains(body, "bad_claims") {
		t.Errorf("a stream of nobody on the admin port: %d %s", status, body)
	}
}

func documentedMetrics(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, regexp.MustCompile(`\bwalrelay_[a-z_]+(_bytes|_seconds|_total|_lsn|_streaming)\b`).FindAllString(string(text), -1)...)
	}
	if len(names) == 0 {
		t.Fatal("the docs name no metrics")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// The password of the database never gets to where logs are kept, whatever goes
// wrong, and neither does what clients send as ids and queries.
func TestNoSecretsInLogs(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t/pass w%rd"
	db := newDatabase(t, itemsTable)
	config := settings{channels: itemsChannels}.yaml()
	dsn, err := url.Parse(db.url())
	if err != nil {
		t.Fatal(err)
	}
	dsn.User = url.UserPassword(dsn.User.Username(), secret)
	outputs := map[string]string{}

	r := newRelay(t, db, config)
	r.env = append(r.env, "DATABASE_URL="+dsn.String())
	r.process = startProcess(t, r.command(t, "serve", "-c", r.config, "--log-level", "debug"))
	r.waitReady(t)
	header := http.Header{"Cookie": {"session=" + secret}, "Authorization": {"Bearer " + secret}}
	ask(t, "GET", r.url+"/events/items?wait=0s&token="+url.QueryEscape(secret), http.Header{"Accept": {"application/json"}, "Cookie": header["Cookie"], "Authorization": header["Authorization"], "Last-Event-ID": {secret}})
	ask(t, "GET", r.url+"/events/nope?token="+url.QueryEscape(secret), header)
	conn := db.conn(t)
	if _, err := conn.Exec(t.Context(), "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1", db.name); err != nil {
		t.Fatal(err)
	}
	r.stderr.waitFor(t, "replication lost")
	r.stderr.waitFor(t, "replication is back")
	_, outputs["/metrics"] = r.admin(t, "/metrics")
	_, outputs["/readyz"] = r.admin(t, "/readyz")
	_, outputs["/debug/pprof/cmdline"] = r.admin(t, "/debug/pprof/cmdline")
	outputs["serve"] = r.terminate(t).stderr

	for name, change := range map[string]func(*url.URL){
		"nobody listens":      func(u *url.URL) { u.Host = "127.0.0.1:1" },
		"no such database":    func(u *url.URL) { u.Path = "/nope" },
		"no such parameter":   func(u *url.URL) { u.RawQuery = "sslmode=whatever" },
		"no such port number": func(u *url.URL) { u.Host = "127.0.0.1:99999" },
	} {
		bad := *dsn
		change(&bad)
		for _, command := range []string{"check", "teardown"} {
			cmd := r.command(t, command, "-c", r.config)
			if command == "teardown" {
				cmd.Args = append(cmd.Args, "--yes")
			}
			cmd.Env = append(cmd.Env, "DATABASE_URL="+bad.String())
			got := startProcess(t, cmd).wait(t)
			if got.code != 1 || got.stderr == "" {
				t.Errorf("%s, %s: exit code %d: %s", command, name, got.code, got.stderr)
			}
			outputs[command+", "+name] = got.stdout + got.stderr
		}
	}
	for name, text := range outputs {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), dsn.User.String(), "s3cr3t"} {
			if strings.Contains(text, form) {
				t.Errorf("%s: the password is in it:\n%s", name, text)
				break
			}
		}
	}
}
