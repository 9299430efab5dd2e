package auth

import (
	"encoding/binary"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// capture is the stream of some tables as pgoutput writes it, read through SQL.
type capture struct {
	database *testDatabase
	conn     *pgx.Conn
	rels     map[uint32]*change.Relation
}

// capture publishes the tables and makes a slot.
func (d *testDatabase) capture(t testing.TB, rels map[string]*change.Relation) *capture {
	t.Helper()
	c := &capture{database: d, conn: d.conn(t), rels: map[uint32]*change.Relation{}}
	var names []string
	for _, rel := range rels {
		names = append(names, quotedTable(rel.Schema, rel.Name))
		c.rels[rel.OID] = rel
	}
	d.exec(t, "create publication p for table "+strings.Join(names, ", "), "select pg_create_logical_replication_slot('"+d.name+"', 'pgoutput')")
	return c
}

// close drops both. The server's end does it too.
func (c *capture) close(t testing.TB) {
	t.Helper()
	c.database.exec(t, "drop publication p", "select pg_drop_replication_slot('"+c.database.name+"')")
}

// read gives the changes since the last read.
func (c *capture) read(t testing.TB) []*change.Change {
	t.Helper()
	rows, err := c.conn.Query(t.Context(), "select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', 'p')", c.database.name)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	b := change.NewBuilder(change.Position{}, 0)
	for _, m := range messages {
		switch m[0] {
		case 'B':
			b.Begin(change.Tx{Commit: change.LSN(binary.BigEndian.Uint64(m[1:])), XID: binary.BigEndian.Uint32(m[17:])})
		case 'I', 'U', 'D':
			b.Row(change.Op(m[0]), c.rels[binary.BigEndian.Uint32(m[1:])], m[5:], false)
		case 'T':
			var rels []*change.Relation
			for at := 6; at < len(m); at += 4 {
				rels = append(rels, c.rels[binary.BigEndian.Uint32(m[at:])])
			}
			b.Truncate(rels, false, false)
		}
	}
	return changesOf(t, b)
}

// changesOf are the changes that a builder has collected.
func changesOf(t testing.TB, b *change.Builder) (out []*change.Change) {
	t.Helper()
	var r change.Reader
	r.Reset(b.Seal(time.Time{}))
	for c := new(change.Change); r.Next(c); c = new(change.Change) {
		out = append(out, c)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

func imagesOf(t testing.TB, c *change.Change) (after, before []change.Value) {
	t.Helper()
	if c.Op == change.Truncate {
		return nil, nil
	}
	after, before, err := c.Images(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return after, before
}

var walLine = regexp.MustCompile(`(?s)^table (\S+): (INSERT|UPDATE|DELETE|TRUNCATE): (.*)$`)

// parseWAL reads a line of test_decoding, as the vectors have them; nil: the table is none of
// rels.
func parseWAL(t testing.TB, rels map[string]*change.Relation, xid uint32, line string) *change.Change {
	t.Helper()
	m := walLine.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("not a line of test_decoding: %s", line)
	}
	rel := rels[strings.ReplaceAll(m[1], `"`, "")]
	if rel == nil {
		return nil
	}
	b := change.NewBuilder(change.Position{}, 0)
	b.Begin(change.Tx{Commit: change.LSN(xid) << 8, XID: xid})
	body := m[3]
	switch op := change.Op(m[2][0]); op {
	case change.Truncate:
		b.Truncate([]*change.Relation{rel}, false, false)
	case change.Delete:
		b.Row(op, rel, append([]byte{oldKind(rel)}, walTuple(t, rel, body, true)...), false)
	default:
		var payload []byte
		if rest, ok := strings.CutPrefix(body, "old-key: "); ok {
			old, now, _ := strings.Cut(rest, " new-tuple: ")
			payload, body = append([]byte{oldKind(rel)}, walTuple(t, rel, old, true)...), now
		}
		b.Row(op, rel, append(append(payload, 'N'), walTuple(t, rel, body, false)...), false)
	}
	return changesOf(t, b)[0]
}

func oldKind(rel *change.Relation) byte {
	if rel.Identity == 'f' {
		return byte(change.OldFull)
	}
	return byte(change.OldKey)
}

var walColumn = regexp.MustCompile(`(?s)^("[^"]+"|[^ "\[]+)\[[^:]*\]:(null|unchanged-toast-datum|'(?:[^']|'')*'|[^ ]+) ?`)

// walTuple makes a tuple of name[type]:value pairs. A column that is missing is NULL in a
// tuple of an old key, as pgoutput sends it.
func walTuple(t testing.TB, rel *change.Relation, text string, key bool) []byte {
	t.Helper()
	values := map[string]string{}
	for text != "" {
		m := walColumn.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("not a column of test_decoding: %.60q", text)
		}
		values[strings.Trim(m[1], `"`)] = m[2]
		text = text[len(m[0]):]
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(rel.Columns)))
	for _, column := range rel.Columns {
		value, ok := values[column.Name]
		switch {
		case !ok && key, value == "null":
			out = append(out, byte(change.Null))
			continue
		case !ok:
			t.Fatalf("the vector has no value for column %s of %s", column.Name, rel.FullName())
		case value == "unchanged-toast-datum":
			out = append(out, byte(change.Unchanged))
			continue
		case column.Type.Kind == change.KindBool:
			value = value[:1]
		}
		if inner, ok := strings.CutPrefix(value, "'"); ok {
			value = strings.ReplaceAll(strings.TrimSuffix(inner, "'"), "''", "'")
		}
		out = append(out, byte(change.Text))
		out = binary.BigEndian.AppendUint32(out, uint32(len(value)))
		out = append(out, value...)
	}
	return out
}
