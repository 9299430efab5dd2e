package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/walrelay/walrelay/change"
)

// oracle is the database's own account of what was committed, in commit order: a
// replication slot of the test's, read with pglogrepl.
type oracle struct {
	db   *database
	slot string
}

// newOracle begins here; the publication of the database must exist.
func newOracle(t testing.TB, db *database) *oracle {
	t.Helper()
	o := &oracle{db: db, slot: db.name + "_oracle"}
	db.exec(t, "select pg_create_logical_replication_slot('"+o.slot+"', 'pgoutput')")
	return o
}

// recorded is one change as the database recorded it. The maps have the columns'
// text; NULL and what was not sent are left out.
type recorded struct {
	at            change.Position
	xid           uint32
	commit        time.Time
	op            string // insert, update, delete, truncate or message
	table         string // of a message its prefix
	before, after map[string]string
	columns       []oracleColumn // of the table at that moment
	unchanged     []string       // columns whose value is as it was and was not sent
	size          int            // of the tuples, in bytes
	truncated     []string       // tables
	content       string         // of a message
}

// oracleColumn is one column of a table.
type oracleColumn struct {
	name string
	text bool // JSON has its values in quotes
}

// read gives everything since the oracle was made.
func (o *oracle) read(t testing.TB) []recorded {
	t.Helper()
	rows, err := o.db.conn(t).Query(t.Context(), `select data from pg_logical_slot_peek_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', $2, 'messages', 'true')`, o.slot, o.db.name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	d := oracleDecoder{relations: map[uint32]*pglogrepl.RelationMessage{}}
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			t.Fatal(err)
		}
		if err := d.message(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return d.out
}

type oracleDecoder struct {
	relations map[uint32]*pglogrepl.RelationMessage
	at        change.Position // of the next change
	xid       uint32
	commit    time.Time
	out       []recorded
}

// message takes one message of pgoutput.
func (d *oracleDecoder) message(data []byte) error {
	parsed, err := pglogrepl.Parse(data)
	if err != nil {
		return err
	}
	switch m := parsed.(type) {
	case *pglogrepl.RelationMessage:
		d.relations[m.RelationID] = m
	case *pglogrepl.BeginMessage:
		d.at, d.xid, d.commit = change.Position{Commit: change.LSN(m.FinalLSN)}, m.Xid, m.CommitTime
	case *pglogrepl.InsertMessage:
		d.row("insert", m.RelationID, nil, m.Tuple, data)
	case *pglogrepl.UpdateMessage:
		d.row("update", m.RelationID, m.OldTuple, m.NewTuple, data)
	case *pglogrepl.DeleteMessage:
		d.row("delete", m.RelationID, m.OldTuple, nil, data)
	case *pglogrepl.TruncateMessage:
		var tables []string
		for _, id := range m.RelationIDs {
			tables = append(tables, d.relations[id].RelationName)
		}
		d.add(recorded{op: "truncate", truncated: tables})
	case *pglogrepl.LogicalDecodingMessage:
		if m.Transactional {
			d.add(recorded{op: "message", table: m.Prefix, content: string(m.Content)})
		}
	}
	return nil
}

// row takes a change of a row; data is the message, whose tuples stand behind its
// kind and the relation's number.
func (d *oracleDecoder) row(op string, relation uint32, before, after *pglogrepl.TupleData, data []byte) {
	r := d.relations[relation]
	d.add(recorded{op: op, table: r.RelationName, before: columnTexts(r, before), after: columnTexts(r, after),
		columns: columnsOf(r), unchanged: unchangedColumns(r, after), size: len(data) - 5})
}

func columnsOf(r *pglogrepl.RelationMessage) []oracleColumn {
	out := make([]oracleColumn, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = oracleColumn{c.Name, c.DataType == pgtype.TextOID}
	}
	return out
}

func unchangedColumns(r *pglogrepl.RelationMessage, tuple *pglogrepl.TupleData) (names []string) {
	if tuple == nil {
		return nil
	}
	for i, c := range tuple.Columns {
		if c.DataType == pglogrepl.TupleDataTypeToast {
			names = append(names, r.Columns[i].Name)
		}
	}
	return names
}

func (d *oracleDecoder) add(c recorded) {
	c.at, c.xid, c.commit = d.at, d.xid, d.commit
	d.at.Index++
	d.out = append(d.out, c)
}

func columnTexts(r *pglogrepl.RelationMessage, tuple *pglogrepl.TupleData) map[string]string {
	if tuple == nil {
		return nil
	}
	out := map[string]string{}
	for i, c := range tuple.Columns {
		if c.DataType == pglogrepl.TupleDataTypeText {
			out[r.Columns[i].Name] = string(c.Data)
		}
	}
	return out
}

// expected is one event that a subscriber should get.
type expected struct {
	at   change.Position
	last bool   // of its position in this view: it has the id
	text string // event and data without the commit time
}

// oracleChannel computes the events of one channel. Its tables have the key id,
// and columns of integers and of text that needs no escapes.
type oracleChannel struct {
	name, table string
	columns     []string // to send; those called body or name are text
	bound       string   // the column that the parameter is bound to, or ""
	param       string   // its value
}

// events are those of one change in this channel.
func (c *oracleChannel) events(r recorded) []string {
	if r.op == "message" {
		if r.table != "walrelay:"+c.name {
			return nil
		}
		return []string{fmt.Sprintf(`message {"channel":%q,"op":"message","data":%s%s,"tx":{"xid":%d}}`, c.name, r.content, c.params(), r.xid)}
	}
	if r.table != c.table {
		return nil
	}
	before := r.before
	if r.op == "update" && before == nil { // the key is as it was, and nothing else is known of the row before
		before = map[string]string{"id": r.after["id"]}
		if c.bound != "" {
			before[c.bound] = r.after[c.bound]
		}
	}
	was, is := before != nil && c.has(before), r.after != nil && c.has(r.after)
	switch {
	case was && is && before["id"] == r.after["id"]:
		return []string{c.row("update", r.after, r.xid)}
	case was && is:
		return []string{c.gone(before, r.xid), c.row("insert", r.after, r.xid)}
	case was:
		return []string{c.gone(before, r.xid)}
	case is:
		return []string{c.row("insert", r.after, r.xid)}
	}
	return nil
}

func (c *oracleChannel) has(row map[string]string) bool {
	return c.bound == "" || row[c.bound] == c.param
}

func (c *oracleChannel) params() string {
	if c.bound == "" {
		return ""
	}
	return fmt.Sprintf(`,"params":{%q:%s}`, c.bound, c.param)
}

func (c *oracleChannel) row(op string, row map[string]string, xid uint32) string {
	var fields []string
	for _, column := range c.columns {
		value, ok := row[column]
		switch {
		case !ok:
			value = "null"
		case column == "body" || column == "name":
			value = strconv.Quote(value)
		}
		fields = append(fields, fmt.Sprintf("%q:%s", column, value))
	}
	return fmt.Sprintf(`%s {"channel":%q,"op":%q,"key":{"id":%s},"row":{%s}%s,"tx":{"xid":%d}}`,
		op, c.name, op, row["id"], strings.Join(fields, ","), c.params(), xid)
}

func (c *oracleChannel) gone(row map[string]string, xid uint32) string {
	return fmt.Sprintf(`delete {"channel":%q,"op":"delete","key":{"id":%s}%s,"tx":{"xid":%d}}`, c.name, row["id"], c.params(), xid)
}

// expectedOf are the events of a stream with these channels, which are in the
// order of the configuration. A row that moves within a rule (from room/1 to
// room/2) leaves before it enters.
func expectedOf(channels []*oracleChannel, changes []recorded) []expected {
	var out []expected
	for _, r := range changes {
		var texts []string
		for rest := channels; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].table == rest[0].table && (rest[n].bound == "") == (rest[0].bound == "") {
				n++
			}
			texts = append(texts, ruleEvents(rest[:n], r)...)
			rest = rest[n:]
		}
		for i, text := range texts {
			out = append(out, expected{at: r.at, last: i == len(texts)-1, text: text})
		}
	}
	return out
}

// ruleEvents are those of the channels of one rule.
func ruleEvents(channels []*oracleChannel, r recorded) []string {
	var texts []string
	for _, c := range channels {
		texts = append(texts, c.events(r)...)
	}
	slices.SortStableFunc(texts, func(a, b string) int {
		return strings.Compare(a[:1], b[:1]) // delete, insert
	})
	return texts
}
