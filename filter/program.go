package filter

import "github.com/walrelay/walrelay/change"

// Source is a channel's rule as the configuration has it.
type Source struct {
	// Where and Allow are the expressions; nil is TRUE.
	Where, Allow Node
	// Public: the channel has no users, so that a claim in it is a problem.
	Public bool
	Table  *Table
	Claims []Claim
	Params []Parameter
}

// Part says which expression of the rule a position is in.
type Part uint8

// The parts.
const (
	Where Part = iota + 1
	Allow
)

// Problem is what [Compile] has against a rule, or what a person should know of it.
type Problem struct {
	Part Part
	// Warning: the rule can be used.
	Warning bool
	Error
}

// Program is a checked rule with its plan. Immutable; safe for concurrent use.
//
// The filter is F = where && allow in negation normal form. Its top-level conjuncts
// that read only the row are evaluated once per row image ([Image.Once]); those that
// read only user and parameters once per subscription ([Program.Bind]); the rest is a
// disjunction. F is TRUE for a row and a binding iff Once is TRUE, the binding exists,
// and for some disjunct that is live in the binding one of the row's keys is among the
// binding's and the residual is TRUE.
type Program struct{}

// Compile checks a rule against its table and plans it. Without errors among the
// problems the program is not nil.
func Compile(s Source) (*Program, []Problem) { return &Program{}, nil }

// Use is a column that a rule reads.
type Use struct {
	// Column is the index in Table.Columns.
	Column int
	Part   Part
	// Pos is where the rule names it first.
	Pos Pos
}

// Uses are the columns that the rule reads, each once.
func (p *Program) Uses() []Use { return nil }

// Params are the rule's parameters with their types, inferred where they were not
// declared.
func (p *Program) Params() []Parameter { return nil }

// ReadsUser reports that the rule reads claims.
func (p *Program) ReadsUser() bool { return false }

// Fingerprint changes whenever the rule would give another verdict for some row.
func (p *Program) Fingerprint() string { return "" }

// Plan describes in words what is evaluated when, a line each, for walrelay check.
func (p *Program) Plan() []string { return nil }

// Disjuncts is their number, from 1 to 16. A rule whose filter does not depend on user and
// parameters has one, without a key: its one audience is everybody.
func (p *Program) Disjuncts() int { return 1 }

// Layout places the columns that a program reads in one version of its relation.
// Immutable.
type Layout struct{}

// For finds the columns in a version of the relation. The error says in words why rows
// of that version cannot be judged: a column is gone or of another class.
func (p *Program) For(rel *change.Relation) (*Layout, error) { return &Layout{}, nil }

// Differ reports whether a column that the program reads differs between two images of
// a row, or is not known in one of them. When it is false both have the same verdict.
func (l *Layout) Differ(a, b []change.Value) bool { return true }

// Blind reports whether a column that the program reads was left out of the image because
// the row was too large.
func (l *Layout) Blind(row []change.Value) bool { return false }

// Image is one row image under evaluation. A column is decoded at most once, and only
// when something reads it. Its memory is reused: a program evaluates any number of rows
// without allocating. Not safe for concurrent use.
type Image struct{}

// NewImage makes an image for rows of a program.
func (p *Program) NewImage() *Image { return &Image{} }

// Load begins with another row, which must stay as it is until the next Load.
func (im *Image) Load(l *Layout, row []change.Value) {}

// Undecoded reports that a value of the row could not be read: the server sent what its
// type does not have.
func (im *Image) Undecoded() bool { return false }

// Once evaluates what reads only the row.
func (im *Image) Once() Truth { return False }

// Probe finds the row's keys for a disjunct, which Key then gives: one, or for
// `user.x in row.array` one per distinct element; none where the disjunct cannot be TRUE for
// any binding. For a disjunct without key it is 1 or 0 and Key is empty.
func (im *Image) Probe(disjunct int) (keys int) { return 0 }

// Key is a key that Probe has found, valid until the next Probe.
func (im *Image) Key(i int) []byte { return nil }
