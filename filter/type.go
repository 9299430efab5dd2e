package filter

import "github.com/walrelay/walrelay/change"

// Class is how values of a type are read and compared. Postgres types of one class
// compare with each other, so a column may change its type within its class while
// rules on it stay what they are.
type Class uint8

// The classes. Of a column of any other type ([ClassOpaque]) a rule can only ask whether it
// is null.
const (
	ClassOpaque      Class = iota
	ClassBool              // boolean
	ClassNumber            // smallint, integer, bigint, numeric: exact
	ClassText              // text, varchar, char(n) right-trimmed, citext: compared byte by byte
	ClassUUID              // uuid
	ClassTimestamptz       // timestamp with time zone, ±infinity
	ClassDate              // date, ±infinity
	ClassEnum              // labels, compared by their text
	ClassJSON              // jsonb, only below text(row.column.key)
)

// Type is the type of an operand.
type Type struct {
	Class Class
	// List: an array of them, of any number of dimensions.
	List bool
	// Name is what a message calls it: bigint, order_status, text[].
	Name string
	// Labels of an enum where they are known; nil in a declaration of the configuration,
	// which knows only the name.
	Labels []string
}

// Table is what a rule is checked against.
type Table struct {
	// Name is schema.name, for messages.
	Name    string
	Columns []Column
}

// Column is one column of a Table, in the order of the table.
type Column struct {
	Name string
	Type *change.Type
	// NotNull, and Identity (old tuples carry the column), as in change.Column.
	NotNull, Identity bool
	// Loose: values with different bytes may be equal in Postgres (citext, a
	// nondeterministic collation).
	Loose bool
}

// Claim is a declared claim of the session.
type Claim struct {
	Name string
	Type Type
	// Required: a user without it is refused; else it is null.
	Required bool
}

// Parameter is a parameter of the channel's name.
type Parameter struct {
	Name string
	// Type is declared or, where its Class is ClassOpaque, to be inferred from the column or
	// claim that the parameter is compared with.
	Type Type
}
