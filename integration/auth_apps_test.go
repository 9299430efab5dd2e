package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// startExpress starts the Express application of testdata/express on a database with
// app_users and gives its address. secrets are those of its sessions, current first.
func startExpress(t testing.TB, db *database, secrets ...string) (app string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("there is no node; run: make deps")
	}
	modules, err := exec.Command("../scripts/express-modules").Output()
	if err != nil {
		t.Fatalf("install the modules of the Express application: %v; run: make deps", err)
	}
	cmd := exec.Command(node, "testdata/express/app.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+strings.TrimSpace(string(modules)), "NODE_ENV=production",
		"DATABASE_URL="+db.url(), "SESSION_SECRET="+strings.Join(secrets, ","))
	return listening(t, startProcess(t, cmd))
}

// startDjango starts the Django application of testdata/django, which makes its tables, and
// gives its address.
func startDjango(t testing.TB, db *database, secret string) (app string) {
	t.Helper()
	cmd := exec.Command(python(t), "testdata/django/app.py")
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "DATABASE_URL="+db.url(), "SECRET_KEY="+secret)
	return listening(t, startProcess(t, cmd))
}

func listening(t testing.TB, p *process) (app string) {
	t.Helper()
	return "http://127.0.0.1:" + p.stdout.waitFor(t, `^listening on (\d+)$`)[1]
}

// python is one that has Django: that of WALRELAY_TEST_PYTHON, Debian's, or the first.
func python(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("WALRELAY_TEST_PYTHON"); path != "" {
		return path
	}
	for _, path := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(path, "-c", "import django, psycopg2").Run() == nil {
			return path
		}
	}
	t.Fatal("no Python here has Django and psycopg2; run: make deps, or set WALRELAY_TEST_PYTHON to one that has")
	return ""
}
