package pgtemp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Options say what [Start] makes. The zero value is a cluster that fits tests.
type Options struct {
	// BinDir holds initdb and postgres. Empty: [FindBinaries] looks for it.
	BinDir string
	// Settings go to postgresql.conf after the defaults, so they win over them:
	// {"wal_level": "replica"}. Values are quoted as needed.
	Settings map[string]string
	// HBA are pg_hba.conf lines put before the defaults, which trust every local
	// connection: "host all app 127.0.0.1/32 scram-sha-256".
	HBA []string
	// Port is the TCP port on 127.0.0.1. 0 picks a free one; the cluster keeps it
	// over restarts.
	Port int
	// TempDir is where the cluster's directory is made. Empty: [os.TempDir], or
	// /tmp where the server's user cannot reach that.
	TempDir string
	// User is the name of the superuser. Empty: postgres.
	User string
	// Fsync makes commits durable against a power cut, as in production. Slower;
	// benchmarks want it.
	Fsync bool
	// NoTemplate runs initdb even where a template could be copied.
	NoTemplate bool
}

func (o Options) withDefaults() Options {
	if o.User == "" {
		o.User = "postgres"
	}
	return o
}

// conf is the text appended to initdb's postgresql.conf.
func (o Options) conf(socketDir string) string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": socketDir,
		"wal_level":               "logical",
		"max_wal_senders":         "32",
		"max_replication_slots":   "32",
		"max_connections":         "200",
		// For tests of two-phase commit.
		"max_prepared_transactions": "16",
		"shared_buffers":            "32MB",
		// In files below the data directory, so that SIGKILL leaves nothing in /dev/shm.
		"dynamic_shared_memory_type": "mmap",
		"timezone":                   "UTC",
		"log_timezone":               "UTC",
		"log_line_prefix":            "%m [%p] %q%u@%d ",
		"lc_messages":                "C",
	}
	if !o.Fsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, o.Settings)
	return confLines("cluster", settings)
}

// confLines are settings as postgresql.conf has them, below a comment.
func confLines(title string, settings map[string]string) string {
	quote := strings.NewReplacer("'", "''", `\`, `\\`)
	var b strings.Builder
	fmt.Fprintf(&b, "\n# pgtemp: %s\n", title)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, quote.Replace(settings[name]))
	}
	return b.String()
}

// hba is the whole pg_hba.conf.
func (o Options) hba() string {
	lines := append(slices.Clone(o.HBA),
		"local all         all              trust",
		"local replication all              trust",
		"host  all         all 127.0.0.1/32 trust",
		"host  replication all 127.0.0.1/32 trust",
	)
	return strings.Join(lines, "\n") + "\n"
}
