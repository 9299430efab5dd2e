package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/filter"
)

// Options of a Server. Zero values mean the default that the field names.
type Options struct {
	Hub Hub
	// Resolver finds the user of a request for channels that are not public; default
	// auth.Anonymous.
	Resolver auth.Resolver
	// Logger gets one line when the server starts at level info, one per request at
	// level debug; default none.
	Logger *slog.Logger
	// Registry is where the metrics are registered; default a new one.
	Registry *prometheus.Registry

	// Listen is the public address, host:port; default :8080.
	Listen string
	// BasePath is the path under which channels are; default /events.
	BasePath string
	// TLSCert and TLSKey are PEM files; both or none. With them the listener speaks
	// TLS and HTTP/2.
	TLSCert, TLSKey string
	// H2C allows HTTP/2 without TLS, for a proxy in front.
	H2C bool
	// AllowedOrigins are the exact foreign origins (https://app.example.com) that may
	// read; none means the same origin only.
	AllowedOrigins []string
	// TrustedProxies are the peers whose X-Forwarded-* headers are believed.
	TrustedProxies []netip.Prefix
	// Upstream is the URL of the application to which everything outside BasePath is
	// proxied, for development; default none.
	Upstream string
	Limits   Limits

	// Heartbeat is the idle time after which a stream gets one, in shards up to a fifth
	// earlier; default 15 s.
	Heartbeat time.Duration
	// Retry is what clients are told to wait before they reconnect, ±20 %; default 2 s.
	Retry time.Duration
	// MaxStream ends a stream after this time (±10 % at random) with end{renew};
	// default never. Sessions may have a shorter one.
	MaxStream time.Duration
	// WriteTimeout ends a stream when a write of at most 64 KiB takes longer (in shards: when the
	// socket takes nothing for so long, and once the stream is over also when it takes too little), or when the peer acknowledges nothing; default 30 s.
	WriteTimeout time.Duration
	// ShutdownTimeout bounds the drain; default 10 s.
	ShutdownTimeout time.Duration
	// ResponseSink carries every stream by a goroutine of its own, also where shards could; for
	// tests and comparisons.
	ResponseSink bool

	Admin AdminOptions
}

// Limits bound what clients may hold open. Zero values mean the default.
type Limits struct {
	// Connections is the number of streams and long polls at a time; default 50000.
	Connections int
	// PerIP is the same per client address (IPv6: per /64 network); default 256.
	PerIP int
	// Channels is the number of channels on one stream; default 64.
	Channels int
}

// AdminOptions are those of the admin listener.
type AdminOptions struct {
	// Listen is its address, host:port; empty means no admin listener.
	Listen string
	// Checks decide about readiness, all together.
	Checks []Check
	// Log gives the bounds of the event log for /readyz and metrics; may be nil. It
	// must not block.
	Log func() eventlog.Bounds
	// ParseClaims reads the claims that an operator wants to be, as JSON; nil: there are none.
	ParseClaims func([]byte) (*filter.Claims, error)
	// Reload reads the rules again and says what became of them, or why nothing was changed;
	// nil: it cannot.
	Reload func(context.Context) (string, error)
	// Slot gives figures of the replication slot for /readyz, as something that
	// encoding/json can marshal; may be nil. It must not block.
	Slot func() any
}

// complete returns o with defaults filled in, or all that is wrong with it.
func (o Options) complete() (Options, error) {
	orDefault(&o.Listen, ":8080")
	orDefault(&o.BasePath, "/events")
	orDefault(&o.Heartbeat, 15*time.Second)
	orDefault(&o.Retry, 2*time.Second)
	orDefault(&o.WriteTimeout, 30*time.Second)
	orDefault(&o.ShutdownTimeout, 10*time.Second)
	orDefault(&o.Limits.Connections, 50000)
	orDefault(&o.Limits.PerIP, 256)
	orDefault(&o.Limits.Channels, 64)
	if o.Resolver == nil {
		o.Resolver = auth.Anonymous{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o, o.check()
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (o Options) check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("http.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if o.Hub == nil {
		errs = append(errs, errors.New("httpapi: Options.Hub is nil"))
	}
	if o.BasePath[0] != '/' || path.Clean(o.BasePath) != o.BasePath || strings.ContainsAny(o.BasePath, ":*?#%") {
		bad("base_path", "must begin with / and have no trailing /, no empty, . or .. segment and none of :*?#%% (got %q)", o.BasePath)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		bad("tls", "cert and key belong together; set both or none")
	}
	for _, origin := range o.AllowedOrigins {
		if err := checkOrigin(origin); err != nil {
			bad("allowed_origins", "%v", err)
		}
	}
	if o.Upstream != "" {
		if u, err := url.Parse(o.Upstream); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			bad("upstream", "must be a URL such as http://localhost:3000 (got %q)", o.Upstream)
		}
		if o.BasePath == "/" {
			bad("upstream", "needs an http.base_path other than /, which leaves nothing to proxy")
		}
	}
	for key, v := range map[string]int64{
		"heartbeat": int64(o.Heartbeat), "retry": int64(o.Retry), "max_stream": int64(o.MaxStream),
		"write_timeout": int64(o.WriteTimeout), "shutdown_timeout": int64(o.ShutdownTimeout),
		"limits.connections": int64(o.Limits.Connections), "limits.per_ip": int64(o.Limits.PerIP),
		"limits.channels": int64(o.Limits.Channels),
	} {
		if v < 0 {
			bad(key, "must not be negative")
		}
	}
	return errors.Join(errs...)
}
