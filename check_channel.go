package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// channelView is what check tells of one channel.
type channelView struct {
	cfg *config.Config
	c   *config.Channel
	// program is nil when the rule has errors, table when it is missing.
	program  *filter.Program
	table    *replication.Table
	spec     *replication.TableSpec
	shape    tableShape
	warnings []*config.Problem
}

// tableShape is what the statistics say of a table.
type tableShape struct {
	// Rows is an estimate; negative before the first ANALYZE.
	Rows int64
	// Toast is the size of the values that lie out of line.
	Toast int64
	// Leading are the columns with which an index begins that holds all rows.
	Leading []string
}

const shapeSQL = `
with parts as (select $1::oid as oid union select relid::oid from pg_partition_tree($1::oid::regclass))
select (select c.reltuples::bigint from pg_class c where c.oid = $1),
       coalesce((select sum(pg_relation_size(c.reltoastrelid))::bigint from pg_class c join parts p on p.oid = c.oid where c.reltoastrelid <> 0), 0),
       coalesce((select array_agg(distinct a.attname::text)
                   from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                  where i.indrelid = $1 and i.indisvalid and i.indpred is null), '{}')`

func readShape(ctx context.Context, conn *pgx.Conn, t *replication.Table) (s tableShape, err error) {
	err = conn.QueryRow(ctx, shapeSQL, t.OID).Scan(&s.Rows, &s.Toast, &s.Leading)
	if err != nil {
		return s, fmt.Errorf("read sizes and indexes of table %s.%s from the catalog: %w", t.Schema, t.Name, err)
	}
	return s, nil
}

// look finds what a person should know of the channel.
func (v *channelView) look(ctx context.Context, conn *pgx.Conn) (err error) {
	if v.table == nil {
		return nil
	}
	if v.shape, err = readShape(ctx, conn, v.table); err != nil {
		return err
	}
	v.lookAtColumns()
	v.lookAtIdentity()
	v.lookAtEntering()
	v.lookAtSnapshot()
	if v.table.Kind == 'p' {
		v.warn(v.c.Key("table"), "%s is partitioned: Postgres does not publish the TRUNCATE of a single partition, so its rows stay on the screen", v.name())
	}
	return nil
}

// name is schema.name of the table, for messages.
func (v *channelView) name() string { return v.c.Schema + "." + v.c.Table }

func (v *channelView) warn(key, format string, args ...any) {
	v.warnings = append(v.warnings, v.cfg.Errorf(v.cfg.Pos(key), key, format, args...))
}

// lookAtColumns: all columns are easily more than was meant.
func (v *channelView) lookAtColumns() {
	if !v.c.AllColumns {
		return
	}
	if secrets := slices.DeleteFunc(v.sent(), func(name string) bool { return !looksSecret(name) }); len(secrets) > 0 {
		v.warn(v.c.Key("columns"), "all columns are sent, also %s; name those that pages need", strings.Join(secrets, ", "))
	}
}

// largeToast is how much lies out of line in a table whose replica identity should not be
// FULL.
const largeToast = 1 << 20

func (v *channelView) lookAtIdentity() {
	if v.table.Identity != 'f' || v.shape.Toast < largeToast {
		return
	}
	if sql, spared := v.table.IdentityIndex(*v.spec); sql != "" {
		v.warn(v.c.Key("table"), "%s has REPLICA IDENTITY FULL and %d MiB of values out of line (%s): every UPDATE and DELETE of such a row writes them to the WAL; fix: %s",
			v.name(), v.shape.Toast>>20, strings.Join(spared, ", "), sql)
	}
}

// lookAtEntering: a row that an UPDATE brings into somebody's view has only those large
// values that the UPDATE changed or the replica identity carries.
func (v *channelView) lookAtEntering() {
	enters, judged := false, true
	for _, r := range v.c.Reads() {
		enters = enters || !slices.Contains(v.table.Key, r.Column)
		judged = judged && slices.Contains(v.table.IdentityColumns, r.Column)
	}
	if !enters || !judged && !v.c.Loose { // else the replica identity must change first
		return
	}
	var missing []string
	for _, name := range v.sent() {
		i := slices.IndexFunc(v.table.Columns, func(c replication.TableColumn) bool { return c.Name == name })
		if i >= 0 && v.table.Columns[i].Toastable && !slices.Contains(v.table.IdentityColumns, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		v.warn(v.c.Key("columns"), "%s may lie out of line (TOAST) and the replica identity does not carry it: when an UPDATE brings a row into somebody's view, "+
			`the event has it under "missing"; fix: REPLICA IDENTITY FULL, or let pages fetch it`, strings.Join(missing, ", "))
	}
}

// sent are the columns that the channel sends.
func (v *channelView) sent() []string {
	if v.table == nil {
		return v.c.Columns
	}
	var names []string
	for _, c := range v.table.Columns {
		if c.Published && (v.c.AllColumns || slices.Contains(v.c.Columns, c.Name) || slices.Contains(v.table.Key, c.Name)) {
			names = append(names, c.Name)
		}
	}
	return names
}

// print describes the channel.
func (v *channelView) print(out io.Writer) {
	fmt.Fprintf(out, "channel %s\n", v.c.Name)
	defer fmt.Fprintln(out)
	line := func(label string, texts ...string) {
		for _, text := range texts {
			fmt.Fprintf(out, "  %-8s  %s\n", label, comment(text))
			label = ""
		}
	}
	line("table", v.tableText())
	line("sends", strings.Join(v.sent(), ", "))
	if v.c.Where != nil {
		line("where", v.c.Where.Node.String())
	}
	line("allow", allowText(v.c))
	if v.table == nil || v.program == nil {
		line("plan", "none; see the errors below")
		return
	}
	line("reads", v.readsText())
	line("identity", v.identityText())
	for _, p := range v.program.Params() {
		line("param", p.Name+" "+p.Type.Name)
	}
	line("plan", v.program.Plan()...)
	if v.c.Snapshot != nil {
		line("snapshot", fmt.Sprintf("up to %d rows, %s", v.c.Snapshot.MaxRows, v.snapshotText()))
	}
	if v.c.Compress {
		line("compress", "gzip or zstd, for clients that accept one, on streams of which every channel says so")
	}
}

func (v *channelView) tableText() string {
	text := v.name()
	switch {
	case v.table == nil:
		return text + ", which is missing"
	case v.table.Kind == 'p':
		text += ", partitioned"
	}
	if v.shape.Rows >= 0 {
		text += fmt.Sprintf(", about %s", count(int(v.shape.Rows), "row"))
	}
	return text
}

func allowText(c *config.Channel) string {
	switch {
	case c.Allow.Public:
		return "public: everybody, without a session"
	case c.Allow.AnyUser():
		return "true: everybody who is signed in"
	}
	return c.Allow.Expr.Node.String()
}

func (v *channelView) readsText() string {
	reads := v.c.Reads()
	if len(reads) == 0 {
		return "nothing of the row"
	}
	names := make([]string, len(reads))
	for i, r := range reads {
		names[i] = r.Column
	}
	return strings.Join(names, ", ")
}

func (v *channelView) identityText() string {
	columns := strings.Join(v.table.IdentityColumns, ", ")
	text := "none"
	switch v.table.Identity {
	case 'f':
		text = "FULL: old rows come whole"
	case 'd':
		text = "the primary key: of old rows come " + columns
	case 'i':
		text = "an index: of old rows come " + columns + "; an UPDATE that changes one of them cannot be HOT"
	}
	if v.c.Loose {
		text += "; loose"
	}
	return text
}
