package auth

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// statement is a query with its parameters, all as text.
type statement struct {
	sql  string
	args [][]byte
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func quotedTable(schema, name string) string { return pgx.Identifier{schema, name}.Sanitize() }

const snapshotSQL = "select pg_catalog.pg_current_snapshot()"

// columns are those that a look-up reads, by their index in the relation.
func (t *storeTable) columns() []int {
	out := append([]int{t.key}, t.identity...)
	out = append(append(out, t.where...), t.user.column, t.expires, t.data)
	for _, f := range t.watched {
		out = append(out, f.column)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(i int) bool { return i < 0 })
}

// storeSQL reads a row by its key. Values come as the columns' types write them, as in the
// WAL: a cast to text would write some differently (bool, char(n), inet). A parameter is
// read as the type of the column that it is compared with.
func (s *source) storeSQL(t *storeTable, key []byte) statement {
	st := statement{args: [][]byte{keyArg(t.rel.Columns[t.key].Type, key)}}
	var b strings.Builder
	b.WriteString("select ")
	for n, i := range t.columns() {
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(t.rel.Columns[i].Name))
	}
	b.WriteString(" from " + quotedTable(s.entry.Store.Schema, s.entry.Store.Table) + " where " + quoted(t.rel.Columns[t.key].Name) + " = $1")
	for _, w := range s.entry.Store.Where {
		st.args = append(st.args, []byte(w.Value))
		b.WriteString(" and " + quoted(w.Column) + " = $" + strconv.Itoa(len(st.args)))
	}
	b.WriteString(" limit 2")
	st.sql = b.String()
	return st
}

// keyArg is a key as text: bytea is written in hex.
func keyArg(t *change.Type, key []byte) []byte {
	if t.BaseName() == "bytea" {
		return []byte(`\x` + hex.EncodeToString(key))
	}
	return key
}

// spellSQL reads values as columns of tables spell them: the type of a coalesce is that of
// its first argument, and the second, a parameter, takes it.
type spellSQL struct {
	exprs []string
	args  [][]byte
}

func (s *spellSQL) add(schema, table, column string, value []byte) {
	s.args = append(s.args, value)
	s.exprs = append(s.exprs, "coalesce((select "+quoted(column)+" from "+quotedTable(schema, table)+" where false), $"+strconv.Itoa(len(s.args))+")")
}

func (s *spellSQL) statement() statement {
	return statement{sql: "select " + strings.Join(s.exprs, ", "), args: s.args}
}

// whereSQL reads the values of where as their columns spell them.
func (s *source) whereSQL() statement {
	var spell spellSQL
	for _, w := range s.entry.Store.Where {
		spell.add(s.entry.Store.Schema, s.entry.Store.Table, w.Column, []byte(w.Value))
	}
	return spell.statement()
}

// dependsSQL reads the user as the key of each of Depends spells it.
func (s *source) dependsSQL(user string) statement {
	var spell spellSQL
	for _, d := range s.entry.Depends {
		spell.add(d.Schema, d.Table, d.Key, []byte(user))
	}
	return spell.statement()
}

// timezoneSQL makes now() and timestamps without zone fit each other in what follows.
func (s *source) timezoneSQL() statement {
	return statement{sql: "select pg_catalog.set_config('TimeZone', $1, true)", args: [][]byte{[]byte(s.location.String())}}
}
