package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
)

// newShop is a shop on an empty database, with its business standing still.
func newShop(t *testing.T) *handler {
	t.Helper()
	cluster := pgtest.Start(t, pgtemp.Options{})
	if err := cluster.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), cluster.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := prepare(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	s := &store{pool}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return &handler{store: s, business: &business{store: s, log: log, pace: time.Millisecond}, cookies: cookies{[]byte("a secret of the tests")}, log: log}
}

// call sends a request of the shop's own page and returns status and JSON.
func call(t *testing.T, h *handler, method, path string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	h.routes().ServeHTTP(w, r)
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s %s: %d %q: %v", method, path, w.Code, w.Body, err)
	}
	return w.Code, body
}

// order is an order as the database holds it.
func order(t *testing.T, h *handler, id int64) (status string, courier *int64) {
	t.Helper()
	err := h.store.pool.QueryRow(t.Context(), `select status::text, courier_id from orders where id = $1`, id).Scan(&status, &courier)
	if errors.Is(err, pgx.ErrNoRows) {
		return "gone", nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return status, courier
}

func TestMigrateAgain(t *testing.T) {
	h := newShop(t)
	if err := migrate(t.Context(), h.store.pool); err != nil {
		t.Fatal("second migration:", err)
	}
	_, body := call(t, h, "GET", "/api/rows")
	if n := len(body["orders"].([]any)); n != 9 {
		t.Errorf("%d orders after two migrations, want the 9 first ones", n)
	}
}

func TestOrderLife(t *testing.T) {
	h := newShop(t)
	const first, placed = 1001, 1009
	steps := []struct {
		method, path string
		status       int
		text         string // part of the answer
		order        int64
		becomes      string
	}{
		{"POST", "/orders/1009/advance", 200, "", placed, "paid"},
		{"POST", "/orders/1009/advance", 200, "", placed, "packed"},
		{"DELETE", "/orders/1009", 409, "still open", placed, "packed"},
		{"POST", "/orders/1009/advance", 200, "", placed, "on_the_way"},
		{"POST", "/orders/1009/advance", 200, "", placed, "delivered"},
		{"POST", "/orders/1009/advance", 409, "finished", placed, "delivered"},
		{"POST", "/orders/1009/cancel", 409, "finished", placed, "delivered"},
		{"DELETE", "/orders/1009", 200, "", placed, "gone"},
		{"DELETE", "/orders/1009", 404, "no such order", placed, "gone"},
		{"POST", "/orders/1009/advance", 404, "no such order", placed, "gone"},
		{"POST", "/orders/1001/cancel", 200, "", first, "cancelled"},
		{"POST", "/orders/x/cancel", 400, "number", first, "cancelled"},
		{"POST", "/orders?count=0", 400, "from 1 to", first, "cancelled"},
		{"POST", "/business?run=maybe", 400, "true or false", first, "cancelled"},
	}
	for _, s := range steps {
		code, body := call(t, h, s.method, s.path)
		if text := fmt.Sprint(body); code != s.status || !strings.Contains(text, s.text) {
			t.Errorf("%s %s: %d %s, want %d with %q", s.method, s.path, code, text, s.status, s.text)
		}
		if now, _ := order(t, h, s.order); now != s.becomes {
			t.Errorf("%s %s: order is %s, want %s", s.method, s.path, now, s.becomes)
		}
	}
	var points int
	if err := h.store.pool.QueryRow(t.Context(), `select sum(points) from customers`).Scan(&points); err != nil {
		t.Fatal(err)
	}
	if points != 9 { // order 1009 was 9.30
		t.Errorf("customers have %d points, want 9", points)
	}
}

// TestCouriersCarryOneOrderEach begins with two of three couriers on the way.
func TestCouriersCarryOneOrderEach(t *testing.T) {
	h := newShop(t)
	if code, body := call(t, h, "POST", "/orders/1003/advance"); code != 200 {
		t.Fatal(code, body)
	}
	used := map[int64]bool{}
	for id := int64(1001); id <= 1003; id++ {
		status, courier := order(t, h, id)
		if status != "on_the_way" || courier == nil {
			t.Fatalf("order %d is %s with courier %v", id, status, courier)
		}
		used[*courier] = true
	}
	if len(used) != 3 {
		t.Errorf("three orders are with couriers %v, want three different ones", used)
	}
	call(t, h, "POST", "/orders/1004/advance")
	if code, body := call(t, h, "POST", "/orders/1004/advance"); code != 409 || !strings.Contains(fmt.Sprint(body), "couriers") {
		t.Errorf("fourth order: %d %v, want 409: all couriers are on the way", code, body)
	}
}

func TestForeignPagesMayNotWrite(t *testing.T) {
	h := newShop(t)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/orders", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.routes().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("POST from a foreign page: %d, want 403", w.Code)
	}
}

// TestBusiness lets the business trade and looks at what has happened.
func TestBusiness(t *testing.T) {
	h := newShop(t)
	for range 600 {
		if err := h.business.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var orders, delivered, open, placed int
	err := h.store.pool.QueryRow(t.Context(), `select count(*), count(*) filter (where status = 'delivered'),
		count(*) filter (where status not in ('delivered', 'cancelled')), max(id) - 1009 from orders`).Scan(&orders, &delivered, &open, &placed)
	if err != nil {
		t.Fatal(err)
	}
	if placed < 20 || delivered == 0 || orders > 60 || open > openOrders+1 {
		t.Errorf("after 600 steps: %d orders placed, %d kept, %d open, %d delivered", placed, orders, open, delivered)
	}
}

// TestSnapshotWaitsForCommits has a transaction open while rows are read: the rows
// come all the same, after the settling time.
func TestSnapshotWaitsForCommits(t *testing.T) {
	h := newShop(t)
	tx, err := h.store.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), `update orders set total = 1 where id = 1001`); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	r, err := h.store.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(since); waited < settleTime {
		t.Errorf("read after %s with a transaction open, want at least %s", waited, settleTime)
	}
	var beforeCommit bool
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.store.pool.QueryRow(t.Context(), `select $1::text::pg_lsn < pg_current_wal_lsn()`, r.LSN).Scan(&beforeCommit); err != nil {
		t.Fatal(err)
	}
	if !beforeCommit {
		t.Errorf("LSN %s is not before the commit that the rows do not have", r.LSN)
	}
}

// TestRun starts the whole application and ends it.
func TestRun(t *testing.T) {
	cluster := pgtest.Start(t, pgtemp.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{DatabaseURL: cluster.URL("postgres"), Listen: address, Secret: []byte("x"), Pace: 10 * time.Millisecond})
	}()
	page := waitFor(t, "http://"+address+"/")
	if !strings.Contains(page, "<h1>Fig &amp; Fennel</h1>") {
		t.Errorf("page is %q", page)
	}
	before := waitFor(t, "http://"+address+"/api/check")
	for waitFor(t, "http://"+address+"/api/check") == before {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	cluster := pgtest.Start(t, pgtemp.Options{HBA: []string{"host all app 127.0.0.1/32 scram-sha-256"}})
	if err := cluster.Exec(t.Context(), `create role app login password 'right'`); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"wrong password": {Options{DatabaseURL: cluster.UserURL("postgres", "app", "wrong"), Listen: "127.0.0.1:0", Secret: []byte("x")}, "password authentication failed"},
		"no such port":   {Options{DatabaseURL: cluster.URL("postgres"), Listen: "127.0.0.1:99999", Secret: []byte("x")}, "invalid port"},
		"malformed URL":  {Options{DatabaseURL: "postgres://[", Listen: "127.0.0.1:0", Secret: []byte("x")}, "database URL"},
		"no secret":      {Options{DatabaseURL: cluster.URL("postgres"), Listen: "127.0.0.1:0"}, "no secret"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), c.options); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// waitFor fetches a page until it is there.
func waitFor(t *testing.T, url string) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		response, err := http.Get(url)
		if err == nil {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && response.StatusCode == http.StatusOK {
				return string(body)
			}
		}
		if time.Now().After(end) {
			t.Fatal("no answer from ", url, ": ", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
