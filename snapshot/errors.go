package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/replication"
)

// stopError is an error of the function that is called for every row.
type stopError struct{ cause error }

func (e *stopError) Error() string { return e.cause.Error() }

// sqlState is the SQLSTATE of a server error, or "".
func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// lockError: the name leads nowhere any more.
func lockError(err error) error {
	switch sqlState(err) {
	case "42P01", "3F000", "42809": // undefined_table, invalid_schema_name, wrong_object_type
		return channel.ErrTableChanged
	}
	return err
}

// readError says what a person can do about an error of reading; sh is nil where the
// catalog could not be read.
func (s *snapshot) readError(ctx context.Context, rel *change.Relation, sh *shape, err error) error {
	op := "read table " + rel.FullName() + " for a snapshot"
	name := pgx.Identifier{rel.Schema, rel.Name}.Sanitize()
	role := s.reader.role()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	case sqlState(err) == "42501" && sh != nil && sh.RLS:
		return &replication.PermanentError{Op: op, Cause: err,
			Fix: "row level security would hide rows from role " + role + ", so nothing is read; the rules of the channel decide who sees a row: ALTER ROLE " + role + " BYPASSRLS; and GRANT SELECT ON " + name + " TO " + role + ";"}
	case sqlState(err) == "42501": // insufficient_privilege
		return &replication.PermanentError{Op: op, Cause: err,
			Fix: "GRANT USAGE ON SCHEMA " + pgx.Identifier{rel.Schema}.Sanitize() + " TO " + role + "; GRANT SELECT ON " + name + " TO " + role + ";"}
	case sqlState(err) == "57014": // query_canceled
		return fmt.Errorf("%s: it took longer than %s ms: %w; fix: an index for the channel's rule, or a smaller max_rows", op, s.reader.cfg.RuntimeParams["statement_timeout"], err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// role is the one that reads, in SQL.
func (r *Reader) role() string { return pgx.Identifier{r.cfg.User}.Sanitize() }
