package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// EnvBinDir names the environment variable with the directory of the Postgres
// binaries to use; it goes before every other place that [FindBinaries] looks at.
const EnvBinDir = "WALRELAY_TEST_PG"

// Binaries is an installation of the Postgres server.
type Binaries struct {
	Dir     string // holds initdb and postgres
	Version string // as `postgres --version` prints it: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	Major   int    // 15
}

// FindBinaries finds a Postgres server: in binDir, or if that is empty in the
// directory named by $WALRELAY_TEST_PG, and if that is unset in the directory of
// `pg_config --bindir`, in /usr/lib/postgresql (newest version first) and in the
// usual places of Homebrew, Postgres.app and the RPM packages. A directory named
// explicitly is the only one looked at. The error says how to install Postgres.
func FindBinaries(ctx context.Context, binDir string) (Binaries, error) {
	origin := "the directory asked for"
	if binDir == "" {
		binDir, origin = os.Getenv(EnvBinDir), "$"+EnvBinDir
	}
	if binDir != "" {
		if !hasServer(binDir) {
			return Binaries{}, fmt.Errorf("pgtemp: find Postgres: %s is %s, which has no initdb and postgres; name the directory that has both", origin, binDir)
		}
		return inspect(ctx, binDir)
	}
	for _, dir := range candidates(ctx) {
		if hasServer(dir) {
			return inspect(ctx, dir)
		}
	}
	return Binaries{}, fmt.Errorf("pgtemp: find Postgres: no server binaries (initdb, postgres) on this machine; install them with `%s`, or set %s to the directory that has them", installHint(), EnvBinDir)
}

// candidates are the directories to look at, best first. They need not exist.
func candidates(ctx context.Context) []string {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // the patterns are constants, so this cannot be
		}
		slices.SortFunc(found, func(a, b string) int { return majorIn(b) - majorIn(a) })
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

var digits = regexp.MustCompile(`[0-9]+`)

// majorIn is the version in a directory name such as /usr/lib/postgresql/15/bin,
// or 0.
func majorIn(dir string) int {
	n, err := strconv.Atoi(digits.FindString(dir))
	if err != nil {
		return 0
	}
	return n
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func inspect(ctx context.Context, dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("pgtemp: find Postgres: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("pgtemp: run %s/postgres --version: %w%s", dir, err, stderrOf(err))
	}
	version := strings.TrimSpace(string(out))
	_, number, ok := strings.Cut(version, "(PostgreSQL) ")
	major := majorIn(number)
	if !ok || major == 0 {
		return Binaries{}, fmt.Errorf("pgtemp: %s/postgres --version said %q, which names no version", dir, version)
	}
	return Binaries{Dir: dir, Version: version, Major: major}, nil
}

// stderrOf is what a failed command wrote to stderr, ready to be appended to an
// error text.
func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}

func installHint() string {
	switch {
	case runtime.GOOS == "darwin":
		return "brew install postgresql@17"
	case exists("/usr/bin/apt-get"):
		return "sudo apt-get install postgresql"
	case exists("/usr/bin/dnf"):
		return "sudo dnf install postgresql-server postgresql-contrib"
	case exists("/sbin/apk"):
		return "apk add postgresql postgresql-contrib"
	}
	return "the package manager's postgresql server package"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
