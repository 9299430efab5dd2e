package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/filter"
)

// Config is a valid configuration with all defaults filled in. It is not changed
// after it was read and may be used from many goroutines. Sizes are in bytes.
type Config struct {
	// File is the name of the file as it was given, for messages.
	File     string
	Postgres Postgres
	Log      Log
	HTTP     HTTP
	Admin    Admin
	// Claims are what rules may know of a user, in the order of the file.
	Claims []filter.Claim
	// Auth is who says who the user is, in the order in which they are asked, with presets
	// and defaults filled in; empty: nobody is ever signed in. Keys are auth.0 and so on.
	Auth []auth.Entry
	// Channels in the order of the file. Invariant: at least one; no two patterns
	// match the same name.
	Channels []Channel
	// Warnings are what a person should know of a file that is valid.
	Warnings []*Problem

	// positions has the place of every key that the file has.
	positions map[string]Pos
}

// Postgres is where the rows come from.
type Postgres struct {
	URL ConnString
	// Slot matches [a-z0-9_]{1,63}.
	Slot string
	// Publication has 1 to 63 bytes and may need quoting in SQL.
	Publication string
	// WALBudget is how much WAL the slot may hold back before readiness fails.
	WALBudget int64
}

// Log is the event log on disk.
type Log struct {
	Dir       string
	Retention time.Duration
	MaxBytes  int64
	// MaxEventBytes is the largest row that is logged whole.
	MaxEventBytes int64
}

// HTTP is the public server.
type HTTP struct {
	// Listen is host:port; the host may be empty.
	Listen string
	// BasePath begins with "/" and does not end with one.
	BasePath string
	TLS      TLS
	// H2C is HTTP/2 without TLS. Invariant: false when TLS is on.
	H2C bool
	// AllowedOrigins are exact origins in the form browsers send them.
	AllowedOrigins []string
	// TrustedProxies may say in X-Forwarded-* who the client is.
	TrustedProxies []netip.Prefix
	Heartbeat      time.Duration
	Retry          time.Duration
	// ShutdownTimeout bounds the drain after SIGTERM.
	ShutdownTimeout time.Duration
	Limits          Limits
	// Upstream gets every request outside of BasePath; nil for none.
	Upstream *url.URL
}

// TLS names a certificate and its key. Invariant: both are set or none.
type TLS struct{ Cert, Key string }

// On reports whether the public server speaks TLS.
func (t TLS) On() bool { return t.Cert != "" }

// Limits bound what clients can take. All are at least 1.
type Limits struct {
	Connections         int
	PerUser, PerSession int
	PerIP               int
	// Channels is per stream.
	Channels int
	// Queue is what may wait for one client.
	Queue int64
	// MaxScanAudiences is per channel: those whose rule has nothing to look up, so that
	// each costs an evaluation for every change of the table.
	MaxScanAudiences int
	// Lookups is how many sessions may be looked up at once.
	Lookups int
	// FailedPerMinute is how many refused sessions one address may send.
	FailedPerMinute int
}

// Admin is the server for operators.
type Admin struct {
	// Listen is host:port. Invariant: not an address of HTTP.Listen.
	Listen string
}

// Channel is a named view of one table.
type Channel struct {
	// Name is the channel's key in the file, and Pattern the same in parts.
	Name    string
	Pattern []Segment
	// Schema and Table are names without quotes, exactly as in the catalog.
	Schema, Table string
	// Columns to send besides the primary key; nil with AllColumns, which is also
	// what a channel without the key means.
	Columns    []string
	AllColumns bool
	// Where says which rows are in the channel; nil for all.
	Where *Expr
	Allow Allow
	// Params are the parameters in the order of Pattern, with the type that is declared.
	// Invariant: Where or Allow compares each with a column or a claim.
	Params []filter.Parameter
	// Loose: rules may read columns whose old value the replica identity does not carry.
	Loose bool
	// Snapshot: streams begin with the rows of now; nil for no.
	Snapshot *Snapshot
	// Compress: streams that have only such channels may be compressed.
	Compress bool
	JSON     JSON
}

// Key is the full name of one of the channel's keys, for [Config.Pos] and
// [Config.Errorf]: Key() is channels.<name>, Key("columns", "0") the first of
// its columns.
func (c *Channel) Key(parts ...string) string {
	return strings.Join(append([]string{"channels", c.Name}, parts...), ".")
}

// Segment is one part between slashes of a channel's name: fixed text or a
// parameter, never both.
type Segment struct{ Literal, Param string }

// Allow says who may see which rows of a channel. The zero value lets nobody in and
// never comes out of Parse.
type Allow struct {
	// Public lets everybody see all rows of Where, without a session.
	Public bool
	// Expr is the rule for users who are signed in. Invariant: nil only when Public is
	// set.
	Expr *Expr
}

// AnyUser reports that everybody who is signed in may see all rows of Where.
func (a Allow) AnyUser() bool {
	if a.Expr == nil {
		return false
	}
	l, ok := a.Expr.Node.(*filter.Literal)
	return ok && l.Kind == filter.Bool && l.Text == "true"
}

// Snapshot is what a channel sends before the changes.
type Snapshot struct {
	// MaxRows is the most rows that one subscriber may see in it.
	MaxRows int
}

// JSON is how a channel writes numbers that JavaScript cannot hold.
type JSON struct{ Bigint, Numeric NumberStyle }

// NumberStyle is how a number stands in JSON.
type NumberStyle uint8

// The styles.
const (
	AsNumber NumberStyle = iota // 12.50
	AsString                    // "12.50"
)

// Expr is an expression of the file.
type Expr struct {
	// Text is the expression as YAML gave it.
	Text string
	Node filter.Node

	scalar scalar
}

// Pos is the place in the file of a position in the expression.
func (e *Expr) Pos(p filter.Pos) Pos { return e.scalar.at(int(p)) }

// Pos is the place of a key's value in the file: of a scalar or list its first
// character, of a section its name. Lists have an entry for each item:
// channels.orders.columns.0. For a key that the file does not have it is the
// place of the nearest section around it.
func (c *Config) Pos(key string) Pos { return placeOf(c.positions, key) }

func placeOf(positions map[string]Pos, key string) Pos {
	for {
		if p, ok := positions[key]; ok {
			return p
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return Pos{Line: 1, Column: 1}
		}
		key = key[:i]
	}
}

// Errorf makes a problem of this file that was found after parsing, for example
// against the live catalog. Passwords are stripped from the arguments.
func (c *Config) Errorf(pos Pos, key, format string, args ...any) *Problem {
	return newProblem(c.File, pos, key, format, args...)
}

// defaults is a configuration in which everything optional has its value.
func defaults() *Config {
	return &Config{
		Postgres: Postgres{Slot: "walrelay", Publication: "walrelay", WALBudget: 10 << 30},
		Log: Log{
			Dir: "./walrelay-data", Retention: 24 * time.Hour,
			MaxBytes: 10 << 30, MaxEventBytes: 1 << 20,
		},
		HTTP: HTTP{
			Listen: ":8080", BasePath: "/events",
			TrustedProxies: []netip.Prefix{
				netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"),
			},
			Heartbeat: 15 * time.Second, Retry: 2 * time.Second, ShutdownTimeout: 10 * time.Second,
			Limits: Limits{
				Connections: 50_000, PerUser: 64, PerSession: 16, PerIP: 256,
				Channels: 64, Queue: 1 << 20, MaxScanAudiences: 10_000,
				Lookups: 16, FailedPerMinute: 60,
			},
		},
		Admin: Admin{Listen: "127.0.0.1:9090"},
	}
}
