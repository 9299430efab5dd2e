package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConnString is a Postgres connection string, with its password. Printing it in
// any way leaves the password out; string(c) is the whole of it, for connecting.
type ConnString string

// String is user, host, port and database.
func (c ConnString) String() string {
	cfg, err := pgconn.ParseConfig(string(c))
	if err != nil {
		return "postgres://..."
	}
	host := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	return fmt.Sprintf("postgres://%s@%s/%s", cfg.User, host, cfg.Database)
}

// GoString is String in quotes.
func (c ConnString) GoString() string { return strconv.Quote(c.String()) }

// LogValue is String.
func (c ConnString) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c ConnString) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

const percentEncode = "write / ? # @ : and % in user and password percent-encoded, as %2F %3F %23 %40 %3A %25"

// connString is a Postgres URL, or keyword=value pairs as libpq takes them.
// What pgx says about a broken one is not passed on where it could quote a piece
// of the password.
func connString(v scalar) (ConnString, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	rest, isURL := cutScheme(s)
	switch {
	case !isURL && (strings.Contains(s, "://") || !strings.Contains(s, "=")):
		return "", errors.New("must be a URL such as postgres://user:password@host:5432/database, or host=HOST user=USER dbname=DATABASE")
	case isURL && strayAt(rest):
		return "", errors.New("the URL has a password that is cut in two; " + percentEncode)
	}
	_, err = pgconn.ParseConfig(s)
	switch reason := parseReason(err); {
	case err == nil:
		return ConnString(s), nil
	case !strings.HasPrefix(reason, "failed to parse"):
		return "", errors.New("pgx refuses it: " + mask(reason))
	case isURL:
		return "", errors.New("must be a URL such as postgres://user:password@host:5432/database; " + percentEncode)
	}
	return "", errors.New("must be keyword=value pairs; put a value with blanks in single quotes")
}

func cutScheme(s string) (rest string, isURL bool) {
	if rest, isURL = strings.CutPrefix(s, "postgres://"); isURL {
		return rest, true
	}
	return strings.CutPrefix(s, "postgresql://")
}

// strayAt reports whether an @ is left in what libpq takes for host and database:
// a / or an @ in the password has cut it in two, and its rest would be printed as
// a host name.
func strayAt(rest string) bool {
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:]
	}
	host, _, _ := strings.Cut(rest, "?")
	return strings.Contains(host, "@")
}

// parseReason is what pgx has against a connection string, without the string.
func parseReason(err error) string {
	var p *pgconn.ParseConfigError
	if !errors.As(err, &p) {
		return ""
	}
	bare := *p
	bare.ConnString = ""
	return strings.TrimPrefix(bare.Error(), "cannot parse ``: ")
}
