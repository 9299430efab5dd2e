package replication

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// errMalformed: a message does not follow "Logical Replication Message Formats".
var errMalformed = errors.New("malformed pgoutput message")

// relations is the relation cache of one replication connection: a Relation
// message replaces what was known of its OID. What pgoutput does not say (types,
// primary key) is read from the catalog when the message arrives.
type relations struct {
	catalog func(context.Context) (*pgx.Conn, error)
	roles   *roles
	byOID   map[uint32]*relation
}

// relation is one as announced, and what becomes of its changes.
type relation struct {
	*change.Relation
	role
}

// announced is what a Relation message says.
type announced struct {
	oid          uint32
	schema, name string
	identity     byte
	columns      []announcedColumn
}

type announcedColumn struct {
	name     string
	typeOID  uint32
	identity bool
}

// learn handles a Relation message that came in transaction xid.
func (r *relations) learn(ctx context.Context, msg []byte, xid uint32) error {
	a, err := parseRelation(msg)
	if err != nil {
		return err
	}
	rel, err := r.describe(ctx, a, xid)
	if err != nil {
		return fmt.Errorf("describe relation %s.%s: %w", a.schema, a.name, err)
	}
	r.byOID[a.oid] = &relation{rel, r.roles.of(rel)}
	return nil
}

func (r *relations) describe(ctx context.Context, a *announced, xid uint32) (*change.Relation, error) {
	conn, err := r.catalog(ctx)
	if err != nil {
		return nil, err
	}
	if err := awaitVisible(ctx, conn, xid); err != nil {
		return nil, err
	}
	table, err := readTableOID(ctx, conn, a.oid)
	if err != nil {
		return nil, err
	}
	oids := make([]uint32, len(a.columns))
	for i := range a.columns {
		oids[i] = a.columns[i].typeOID
	}
	types, err := loadTypes(ctx, conn, oids)
	if err != nil {
		return nil, err
	}
	var before *change.Relation
	if known := r.byOID[a.oid]; known != nil {
		before = known.Relation
	}
	return a.relation(table, types, before), nil
}

// relation completes what was announced with what the catalog says: table is nil when it
// was dropped since, before what was known of the relation, or nil.
func (a *announced) relation(table *Table, types map[uint32]*change.Type, before *change.Relation) *change.Relation {
	rel := &change.Relation{OID: a.oid, Schema: a.schema, Name: a.name, Identity: a.identity}
	for _, c := range a.columns {
		col := change.Column{Name: c.name, Identity: c.identity, Type: types[c.typeOID]}
		if table != nil {
			if tc := table.column(c.name); tc != nil {
				col.NotNull = tc.NotNull
			}
		}
		rel.Columns = append(rel.Columns, col)
	}
	rel.Key = keyOf(rel, table, before)
	rel.ID = relationID(rel)
	return rel
}

// Relation is what the stream would announce for the table as the catalog has it, with
// the same ID. Its columns are the published ones.
func (t *Table) Relation() *change.Relation {
	a := &announced{oid: t.OID, schema: t.Schema, name: t.Name, identity: t.Identity}
	types := map[uint32]*change.Type{}
	for _, c := range t.Columns {
		if c.Published {
			a.columns = append(a.columns, announcedColumn{name: c.Name, typeOID: c.TypeOID, identity: slices.Contains(t.IdentityColumns, c.Name)})
			types[c.TypeOID] = c.Type
		}
	}
	return a.relation(t, types, nil)
}

// keyOf finds the primary key. The catalog is of now, the message of then. Under
// DEFAULT the message flags the primary key of that moment, and the catalog only
// knows its order; else a table whose key has changed since keeps the one that it
// had before on this connection.
func keyOf(rel *change.Relation, table *Table, before *change.Relation) []int {
	var key []int
	if table != nil {
		key = keyColumns(rel, table)
	}
	if rel.Identity == 'd' {
		flagged := flaggedColumns(rel)
		if slices.Equal(flagged, slices.Sorted(slices.Values(key))) {
			return key
		}
		return flagged
	}
	if len(key) == 0 && before != nil {
		for _, k := range before.Key {
			i := rel.Column(before.Columns[k].Name)
			if i < 0 {
				return nil
			}
			key = append(key, i)
		}
	}
	return key
}

func flaggedColumns(rel *change.Relation) []int {
	var out []int
	for i := range rel.Columns {
		if rel.Columns[i].Identity {
			out = append(out, i)
		}
	}
	return out
}

// keyColumns finds the columns of today's primary key: by name, or one renamed since
// by its place, where the two have the same columns otherwise. Nil when one is not
// there.
func keyColumns(rel *change.Relation, table *Table) []int {
	var key []int
	for _, name := range table.Key {
		i := rel.Column(name)
		if i < 0 && len(rel.Columns) == len(table.Columns) {
			i = slices.IndexFunc(table.Columns, func(c TableColumn) bool { return c.Name == name })
		}
		if i < 0 {
			return nil
		}
		key = append(key, i)
	}
	return key
}

// relationID hashes everything that the relation says.
func relationID(rel *change.Relation) uint64 {
	rel.ID = 0
	b, _ := json.Marshal(rel) // trees of strings, numbers and bools: it cannot fail
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:]) | 1 // never 0
}

// parseRelation reads a Relation message without its type byte.
func parseRelation(b []byte) (*announced, error) {
	if len(b) < 4 {
		return nil, errMalformed
	}
	a := &announced{oid: binary.BigEndian.Uint32(b)}
	var ok1, ok2 bool
	a.schema, b, ok1 = cString(b[4:])
	a.name, b, ok2 = cString(b)
	if !ok1 || !ok2 || len(b) < 3 {
		return nil, errMalformed
	}
	if a.schema == "" {
		a.schema = "pg_catalog" // pgoutput writes it so
	}
	a.identity = b[0]
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	for range n {
		if len(b) < 1 {
			return nil, errMalformed
		}
		c := announcedColumn{identity: b[0]&1 != 0 || a.identity == 'f'}
		var ok bool
		if c.name, b, ok = cString(b[1:]); !ok || len(b) < 8 {
			return nil, errMalformed
		}
		c.typeOID = binary.BigEndian.Uint32(b)
		b = b[8:]
		a.columns = append(a.columns, c)
	}
	return a, nil
}

func cString(b []byte) (string, []byte, bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}
