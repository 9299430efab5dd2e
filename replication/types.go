package replication

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// typeQuerier is what the catalog is read through: a *pgx.Conn, a pgx.Tx or a pool.
type typeQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// LoadTypes returns the types with the given pg_type OIDs as the catalog
// describes them now, each with everything it is made of. Every OID gets an
// entry: one that the catalog does not know is a KindText named "oid N".
func LoadTypes(ctx context.Context, q typeQuerier, oids []uint32) (map[uint32]*change.Type, error) {
	return loadTypes(ctx, q, oids)
}

func loadTypes(ctx context.Context, q typeQuerier, oids []uint32) (map[uint32]*change.Type, error) {
	var l typeLoader
	return l.load(ctx, q, oids)
}

// typeLoader reads types with one query for each level of their trees. It
// remembers the built-in ones, which do not change while a server runs; others it
// reads anew each time, since ALTER TYPE may have changed them. The zero value is
// ready for use, on one server only. Not safe for concurrent use.
type typeLoader struct {
	builtin map[uint32]*change.Type
}

// firstNormalOID is FirstNormalObjectId of Postgres: OIDs below belong to the
// system.
const firstNormalOID = 16384

func (l *typeLoader) load(ctx context.Context, q typeQuerier, oids []uint32) (map[uint32]*change.Type, error) {
	out := make(map[uint32]*change.Type, len(oids))
	var unknown []uint32
	for _, oid := range oids {
		if t := l.builtin[oid]; t != nil {
			out[oid] = t
		} else {
			unknown = append(unknown, oid)
		}
	}
	if len(unknown) == 0 {
		return out, nil
	}
	rows, err := queryTypes(ctx, q, unknown)
	if err != nil {
		return nil, fmt.Errorf("read types from the catalog: %w", err)
	}
	r := typeResolver{rows: rows, done: map[uint32]*change.Type{}}
	for _, oid := range unknown {
		out[oid] = r.resolve(oid)
	}
	l.remember(r.done)
	return out, nil
}

func (l *typeLoader) remember(types map[uint32]*change.Type) {
	if l.builtin == nil {
		l.builtin = map[uint32]*change.Type{}
	}
	for oid, t := range types {
		if oid < firstNormalOID {
			l.builtin[oid] = t
		}
	}
}

// typesSQL reads the types $1. Names are those of format_type with an empty
// search_path. True arrays are told from point and name, which have an element
// too, by the subscript handler, as get_element_type does. An hstore is the type
// of that name that belongs to the extension of that name, wherever that was
// installed.
//
// It is no recursive query: the planner overestimates those so much that it would
// compile them (jit_above_cost), which takes 100 ms.
const typesSQL = `
select t.oid,
       case when n.nspname = 'pg_catalog' then pg_catalog.format_type(t.oid, null)
            else pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) end,
       t.typtype::text,
       t.typbasetype,
       case when t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc then t.typelem else 0 end,
       t.typdelim::text,
       t.typname = 'hstore' and exists (
         select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
          where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid and d.objsubid = 0 and d.deptype = 'e'
            and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and e.extname = 'hstore'),
       (select pg_catalog.array_agg(e.enumlabel::text order by e.enumsortorder)
          from pg_catalog.pg_enum e where e.enumtypid = t.oid),
       (select pg_catalog.array_agg(a.attname::text order by a.attnum)
          from pg_catalog.pg_attribute a where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped),
       (select pg_catalog.array_agg(a.atttypid order by a.attnum)
          from pg_catalog.pg_attribute a where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
 where t.oid = any ($1::oid[])`

// typeRow is a row of typesSQL.
type typeRow struct {
	OID        uint32
	Name       string
	Type       string // pg_type.typtype
	Base       uint32 // of a domain, else 0
	Elem       uint32 // of a true array, else 0
	Delim      string // between elements of an array of this type
	Hstore     bool
	Labels     []string
	FieldNames []string
	FieldTypes []uint32
}

// parts are the types that the type is made of.
func (r *typeRow) parts() []uint32 {
	parts := slices.Clone(r.FieldTypes)
	for _, oid := range []uint32{r.Base, r.Elem} {
		if oid != 0 {
			parts = append(parts, oid)
		}
	}
	return parts
}

// queryTypes reads the types and all that they are made of, level by level.
// OIDs without a type have a nil row.
func queryTypes(ctx context.Context, q typeQuerier, oids []uint32) (map[uint32]*typeRow, error) {
	byOID := map[uint32]*typeRow{}
	for len(oids) > 0 {
		rows, err := q.Query(ctx, typesSQL, oids)
		if err != nil {
			return nil, err
		}
		level, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[typeRow])
		if err != nil {
			return nil, err
		}
		for _, oid := range oids {
			byOID[oid] = nil
		}
		oids = nil
		for _, row := range level {
			byOID[row.OID] = row
			oids = append(oids, row.parts()...)
		}
		oids = slices.DeleteFunc(oids, func(oid uint32) bool { _, asked := byOID[oid]; return asked })
	}
	return byOID, nil
}

// typeResolver makes trees of rows.
type typeResolver struct {
	rows map[uint32]*typeRow
	done map[uint32]*change.Type
	// path are the types being resolved, from the outermost on. Postgres forbids a
	// type within itself; should one come all the same, it ends as KindText.
	path []uint32
}

// resolve never returns nil.
func (r *typeResolver) resolve(oid uint32) *change.Type {
	if t := r.done[oid]; t != nil {
		return t
	}
	row := r.rows[oid]
	if row == nil {
		return &change.Type{OID: oid, Name: fmt.Sprintf("oid %d", oid)}
	}
	if slices.Contains(r.path, oid) {
		return &change.Type{OID: oid, Name: row.Name}
	}
	r.path = append(r.path, oid)
	t := r.build(row)
	r.path = r.path[:len(r.path)-1]
	r.done[oid] = t
	return t
}

func (r *typeResolver) build(row *typeRow) *change.Type {
	t := &change.Type{OID: row.OID, Name: row.Name, Labels: row.Labels}
	switch {
	case row.Base != 0:
		*t = *r.resolve(row.Base)
		t.OID, t.Name, t.Base = row.OID, row.Name, t.BaseName()
	case row.Elem != 0:
		t.Kind, t.Elem = change.KindVector, r.resolve(row.Elem)
		if kindOf(row.OID) != change.KindVector {
			t.Kind, t.Name, t.Delim = change.KindArray, t.Elem.Name+"[]", r.delim(row.Elem)
		}
	case row.Type == "c":
		t.Kind = change.KindComposite
		for i, name := range row.FieldNames {
			t.Fields = append(t.Fields, change.Field{Name: name, Type: r.resolve(row.FieldTypes[i])})
		}
	case row.Hstore:
		t.Kind = change.KindHstore
	default:
		t.Kind = kindOf(row.OID)
	}
	return t
}

// delim separates the elements of an array of the type.
func (r *typeResolver) delim(elem uint32) byte {
	if row := r.rows[elem]; row != nil && len(row.Delim) == 1 {
		return row.Delim[0]
	}
	return ','
}

// kindOf is the kind of a built-in base type. The OIDs are fixed for ever
// (src/include/catalog/pg_type.dat).
func kindOf(oid uint32) change.Kind {
	switch oid {
	case 16:
		return change.KindBool
	case 20, 21, 23:
		return change.KindInt
	case 700, 701:
		return change.KindFloat
	case 1700:
		return change.KindNumeric
	case 1082:
		return change.KindDate
	case 1114:
		return change.KindTimestamp
	case 1184:
		return change.KindTimestampTZ
	case 114:
		return change.KindJSON
	case 3802:
		return change.KindJSONB
	case 22, 30:
		return change.KindVector
	}
	return change.KindText
}
