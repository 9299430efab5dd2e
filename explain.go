package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
	"github.com/walrelay/walrelay/replication"
)

func newExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --channel NAME [--user CLAIMS] [--key KEY]",
		Short: "Say why a user gets a row, or does not",
		Long: "Reads one row as it is now and evaluates the rule of a channel for it and a user: prints each part with its value, the plan, and the\n" +
			"verdict. Without --key it says whether the user may subscribe. It evaluates by itself, from the configuration file: walrelay need\n" +
			"not run. Exits 0 whatever the verdict is.",
		Example: `  walrelay explain --channel orders --user '{"id":42}' --key 7`,
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	e := &explainer{}
	cmd.Flags().StringVar(&e.name, "channel", "", "`name` that a page would subscribe to, such as orders or order/7")
	cmd.Flags().StringVar(&e.user, "user", "", "the user's `claims` as JSON, such as '{\"id\":42}' (default: nobody is signed in)")
	cmd.Flags().StringVar(&e.key, "key", "", "primary `key` of the row: its value, or a JSON object such as '{\"id\":7}'")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if e.name == "" {
			return errors.New("explain: which channel? name it with --channel, such as --channel orders")
		}
		cfg, err := config.Load(*path, os.LookupEnv)
		if err != nil {
			return err
		}
		e.cfg, e.out = cfg, cmd.OutOrStdout()
		return e.run(cmd.Context())
	}
	return cmd
}

// explainer says why a user gets a row.
type explainer struct {
	cfg             *config.Config
	out             io.Writer
	name, user, key string

	channel *config.Channel
	params  map[string]string
	claims  *filter.Claims // nil: nobody is signed in
	table   *replication.Table
	program *filter.Program
	rowKey  rowKey
}

func (e *explainer) run(ctx context.Context) error {
	if err := e.resolve(); err != nil {
		return err
	}
	conn, err := replication.Connect(ctx, string(e.cfg.Postgres.URL))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := e.compile(ctx, conn); err != nil {
		return err
	}
	binding, refused, err := e.bind()
	if err != nil {
		return err
	}
	if e.key == "" {
		e.printHead()
		e.printSubscription(binding, refused)
		return nil
	}
	row, err := e.readRow(ctx, conn)
	if err != nil {
		return err
	}
	e.printHead()
	e.line("row", e.channel.Schema+"."+e.channel.Table+" with "+e.rowKey.String())
	return e.printRow(binding, refused, row)
}

// resolve finds the channel and reads the claims.
func (e *explainer) resolve() error {
	if e.channel, e.params = e.cfg.Match(e.name); e.channel == nil {
		names := make([]string, len(e.cfg.Channels))
		for i := range names {
			names[i] = e.cfg.Channels[i].Name
		}
		return fmt.Errorf("explain: %s has no channel %q%s", e.cfg.File, e.name, nearest.Suggest(e.name, names))
	}
	if e.user == "" {
		return nil
	}
	var err error
	if e.claims, err = filter.ParseClaims(e.cfg.Claims, []byte(e.user)); err != nil {
		return fmt.Errorf("explain: --user: %w", err)
	}
	return nil
}

// compile checks the channel's rule against the catalog.
func (e *explainer) compile(ctx context.Context, conn *pgx.Conn) error {
	p, err := replication.Check(ctx, conn, target(e.cfg))
	if err != nil {
		return err
	}
	if len(p.Tables) == 0 { // a server that cannot be used
		return located(e.cfg, &replication.PreflightError{Findings: p.Findings.Errors()})
	}
	name := e.channel.Schema + "." + e.channel.Table
	if e.table = p.Tables[name]; e.table == nil {
		return e.cfg.Errorf(e.cfg.Pos(e.channel.Key("table")), e.channel.Key("table"), "there is no table %s, or the role may not see its schema", name)
	}
	one := *e.cfg
	one.Channels = []config.Channel{*e.channel}
	rules, problems, _ := compileRules(&one, p.Tables)
	e.program = rules[0].Program
	return problems.Err()
}

// bind binds the user and the parameters. refused is why the user may not subscribe.
func (e *explainer) bind() (b *filter.Binding, refused string, err error) {
	if e.claims == nil && !e.channel.Allow.Public {
		return nil, "nobody is signed in, and the channel is not public: 401 (name the user's claims with --user)", nil
	}
	b, err = e.program.Bind(e.claims, e.params)
	var no *filter.RefusedError
	switch {
	case errors.As(err, &no):
		return nil, no.Expr + " is not true for this user: 403", nil
	case err != nil:
		return nil, "", fmt.Errorf("explain: channel %q: %w", e.name, err)
	}
	return b, "", nil
}

// rowKey is a row's key: column and text.
type rowKey [][2]string

func (k rowKey) String() string {
	parts := make([]string, len(k))
	for i, c := range k {
		parts[i] = c[0] + " = " + c[1]
	}
	return strings.Join(parts, ", ")
}

// parseKey reads --key: the value of a key of one column, or a JSON object.
func parseKey(text string, columns []string) (rowKey, error) {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil || object == nil {
		if len(columns) != 1 {
			return nil, fmt.Errorf("the key has the columns %s; write a JSON object, such as '{%q: 7, ...}'", strings.Join(columns, ", "), columns[0])
		}
		return rowKey{{columns[0], text}}, nil
	}
	for name := range object {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("%q is no column of the key (%s)%s", name, strings.Join(columns, ", "), nearest.Suggest(name, columns))
		}
	}
	var key rowKey
	for _, name := range columns {
		raw, ok := object[name]
		if !ok {
			return nil, fmt.Errorf("the column %q of the key is missing", name)
		}
		value := string(raw)
		var s string
		if json.Unmarshal(raw, &s) == nil && value != "null" {
			value = s
		}
		key = append(key, [2]string{name, value})
	}
	return key, nil
}

// readRow reads the row as replication would send it.
func (e *explainer) readRow(ctx context.Context, conn *pgx.Conn) ([]change.Value, error) {
	subject := e.channel.Schema + "." + e.channel.Table
	if len(e.table.Key) == 0 {
		return nil, fmt.Errorf("explain: table %s has no primary key, so that --key names no row", subject)
	}
	key, err := parseKey(e.key, e.table.Key)
	if err != nil {
		return nil, fmt.Errorf("explain: --key %s: %w", e.key, err)
	}
	e.rowKey = key
	rel := e.table.Relation()
	columns, conditions := make([]string, len(rel.Columns)), make([]string, len(key))
	for i, c := range rel.Columns {
		columns[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	args := make([][]byte, len(key))
	for i, k := range key {
		conditions[i] = fmt.Sprintf("%s = $%d", pgx.Identifier{k[0]}.Sanitize(), i+1)
		args[i] = []byte(k[1])
	}
	sql := "select " + strings.Join(columns, ", ") + " from " + pgx.Identifier{e.channel.Schema, e.channel.Table}.Sanitize() + " where " + strings.Join(conditions, " and ")
	result := conn.PgConn().ExecParams(ctx, sql, args, nil, nil, nil).Read()
	switch {
	case result.Err != nil:
		return nil, fmt.Errorf("explain: read row %s of %s: %w%s", key, subject, result.Err, readFix(result.Err, e.channel))
	case len(result.Rows) == 0:
		hint := ""
		if e.table.RLS {
			hint = " (or row level security hides it from this role)"
		}
		return nil, fmt.Errorf("explain: %s has no row with %s%s", subject, key, hint)
	}
	return rowValues(result.Rows[0]), nil
}

// readFix is what to do about an error of reading the row.
func readFix(err error, c *config.Channel) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return "; fix: GRANT SELECT ON " + quotedTable(c) + " TO the role of postgres.url, which walrelay itself needs for snapshots only"
	case "22P02", "22003", "22007", "22008": // the key is no value of its type
		return "; fix: correct --key"
	}
	return ""
}

// rowValues is a row of text values as an image of it has them.
func rowValues(texts [][]byte) []change.Value {
	row := make([]change.Value, len(texts))
	for i, text := range texts {
		if text == nil {
			row[i] = change.Value{Kind: change.Null}
		} else {
			row[i] = change.Value{Kind: change.Text, Text: text}
		}
	}
	return row
}
