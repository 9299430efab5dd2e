package integration

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// wantProblems checks that a walrelay ended with exit code 1 and one line per
// problem, each with its fix.
func wantProblems(t testing.TB, out exit, patterns ...string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out.stderr) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "walrelay: ") {
			lines = append(lines, line)
		}
	}
	if out.code != 1 || len(lines) != len(patterns) {
		t.Errorf("exit code %d, %d problems, want 1 and %d; stderr:\n%s", out.code, len(lines), len(patterns), out.stderr)
		return
	}
	for i, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("line %d:\n%s\ndoes not match\n%s", i+1, lines[i], pattern)
		}
	}
}

// wantRefused checks that check and serve both refuse, with the same problems.
func (r *relay) wantRefused(t testing.TB, patterns ...string) {
	t.Helper()
	out := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t)
	var problems []string
	for line := range strings.Lines(out.stdout) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "error"); ok {
			problems = append(problems, strings.TrimSpace(rest))
		}
	}
	if out.code != 1 || len(problems) != len(patterns) || !strings.Contains(out.stderr, fmt.Sprintf("%d error", len(patterns))) {
		t.Errorf("check: exit code %d, %d problems, want 1 and %d; it wrote:\n%s%s", out.code, len(problems), len(patterns), out.stdout, out.stderr)
		return
	}
	for i, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(problems[i]) {
			t.Errorf("check, problem %d:\n%s\ndoes not match\n%s", i+1, problems[i], pattern)
		}
	}
	r.start(t)
	r.wantRefusal(t, patterns...)
}

// findingsOf are the lines of check but those that describe channels.
func findingsOf(stdout string) []string {
	var lines []string
	for line := range strings.Lines(stdout) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "channel ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// wantCheck checks what check says when there is no error: lines of stdout.
func (r *relay) wantCheck(t testing.TB, patterns ...string) {
	t.Helper()
	out := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t)
	lines := findingsOf(out.stdout)
	if out.code != 0 || len(lines) != len(patterns) {
		t.Errorf("check: exit code %d, %d lines, want 0 and %d:\n%s%s", out.code, len(lines), len(patterns), out.stdout, out.stderr)
		return
	}
	for i, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("check, line %d:\n%s\ndoes not match\n%s", i+1, lines[i], pattern)
		}
	}
}

// wantWritable checks that the application can UPDATE and DELETE all rows of all
// its tables: walrelay must never have made that fail. Nothing is changed.
func (d *database) wantWritable(t testing.TB, when string) {
	t.Helper()
	conn := d.conn(t)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `select format('%I.%I', n.nspname, c.relname), a.attname::text
		from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
		where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (out [2]string, err error) { return out, row.Scan(&out[0], &out[1]) })
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for _, sql := range []string{"update " + table[0] + " set " + pgx.Identifier{table[1]}.Sanitize() + " = " + pgx.Identifier{table[1]}.Sanitize(), "delete from " + table[0]} {
			err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), sql); err != nil {
					return err
				}
				return errRollback
			})
			if !errors.Is(err, errRollback) {
				t.Errorf("%s: the application's %q fails: %v", when, sql, err)
			}
		}
	}
}

var errRollback = errors.New("roll back")

// role makes a role that lasts as long as the cluster.
func (d *database) role(t testing.TB, options string) (name string) {
	t.Helper()
	name = d.roleName()
	d.exec(t, "create role "+name+" login "+options)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		// What it owns stays until its database is dropped, which is now or later.
		_ = d.cluster.ExecIn(ctx, d.name, "drop owned by "+name, "drop role "+name)
	})
	return name
}

// roleName is the name that role gives.
func (d *database) roleName() string { return "role_" + d.name[:strings.IndexByte(d.name, '_')] }

// as makes the relay connect as this role.
func (r *relay) as(d *database, role, password string) {
	r.env = append(r.env, "DATABASE_URL="+d.cluster.UserURL(d.name, role, password))
}
