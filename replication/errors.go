package replication

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PermanentError needs a person: trying again gives the same answer.
type PermanentError struct {
	// Op is what was done, Cause why it failed, Fix what to do, as SQL or a command.
	Op    string
	Cause error
	Fix   string
}

func (e *PermanentError) Error() string {
	s := e.Cause.Error()
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Fix != "" {
		s += "; fix: " + e.Fix
	}
	return s
}

func (e *PermanentError) Unwrap() error { return e.Cause }

// sqlState is the SQLSTATE of a server error, or "".
func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// connectError makes the errors of connecting readable. Errors that a restart of
// Postgres or of the network can mend stay as they are.
func connectError(cfg *pgconn.Config, err error) error {
	op := fmt.Sprintf("connect to Postgres at %s:%d as %s", cfg.Host, cfg.Port, cfg.User)
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		cause := rootCause(err)
		return fmt.Errorf("%s: %w%s", op, cause, connectFix(cause.Error()))
	}
	cause := errors.New(pe.Message)
	switch pe.Code {
	case "28P01":
		return &PermanentError{op, cause, "correct the password in postgres.url, or the user: Postgres says the same of a role that does not exist"}
	case "28000":
		return &PermanentError{op, cause, "allow the role and host in pg_hba.conf (a line for database " + cfg.Database + " and one for replication), or correct postgres.url"}
	case "3D000":
		return &PermanentError{op, cause, "correct the database name in postgres.url"}
	case "42501":
		return &PermanentError{op, cause, "ALTER ROLE " + quoteIdent(cfg.User) + " REPLICATION;"}
	}
	return fmt.Errorf("%s: %s (SQLSTATE %s)", op, pe.Message, pe.Code)
}

// ConnectError makes an error of connecting readable, as [Connect] does.
func ConnectError(cfg *pgx.ConnConfig, err error) error { return connectError(&cfg.Config, err) }

// rootCause drops pgx's outer text, which repeats host and user, and keeps the
// innermost reason, which is one line.
func rootCause(err error) error {
	var ce *pgconn.ConnectError
	if !errors.As(err, &ce) {
		return err
	}
	text := err.Error()
	if i := strings.LastIndex(text, "): "); i >= 0 {
		text = text[i+3:]
	} else if _, reasons, found := strings.Cut(text, "`:"); found { // no address was found to dial
		text = reasons
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return errors.New(line)
}

// connectFix is what to do about a server that cannot be reached, as the end of an
// error's text.
func connectFix(cause string) string {
	says := func(text string) bool { return strings.Contains(cause, text) }
	switch {
	case says("no such host"):
		return "; fix: correct the host in postgres.url"
	case says("connection refused"), says("no such file"), says("no route to host"), says("timeout"):
		return "; fix: start Postgres, or correct host and port in postgres.url"
	case says("server refused TLS"):
		return "; fix: ALTER SYSTEM SET ssl = on; with a certificate, or sslmode=disable in postgres.url"
	}
	return ""
}

// quoteLiteral quotes an SQL string.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
