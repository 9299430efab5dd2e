// Package filter is the rule language of walrelay: which rows are in a channel
// (`where`) and who may see them (`allow`). It is step 3 of the way of a row
// (see docs/architecture.md). It is pure: it opens no file and no socket, knows
// nothing of YAML, and does not talk to Postgres.
//
// # Grammar
//
//	expr    := or
//	or      := and { ("||" | "or") and }
//	and     := not { ("&&" | "and") not }
//	not     := ("!" | "not") not | cmp
//	cmp     := prim [ ("==" | "!=" | "<" | "<=" | ">" | ">=") prim | "in" prim ]
//	prim    := "row" "." name { "." name }          a column, or a path into a jsonb column
//	         | "user" "." name                      a claim of the session
//	         | "params" "." name                    a parameter of the channel's name
//	         | literal | "[" literal { "," literal } "]"
//	         | "lower" "(" prim ")"
//	         | "text" "(" "row" "." name "." name { "." name } ")"
//	         | "(" expr ")"
//	literal := int | decimal | string | "true" | "false" | "null"
//	int     := ["-"] digit { digit }
//	decimal := int "." digit { digit }
//	string  := '"' ... '"' | "'" ... "'"            escapes: \\ \" \' \n \r \t \uXXXX \u{X...}
//	name    := letter { letter | digit }            a letter is a Unicode letter or "_"
//	         | string                               for row."Order Date"
//
// Blank space, also line breaks, may stand between tokens. Names are compared
// exactly: row.userId is not row.userid. An expression has at most [MaxBytes]
// bytes, [MaxNodes] nodes and a depth of [MaxDepth], so that its cost is bounded
// by its text; there are no loops, no arithmetic, no clock and no regular
// expressions.
//
// # The way of a rule
//
// [Parse] turns text into a tree of [Node]; [Node].String prints it back in
// canonical form, and parsing that gives the same tree. [Compile] checks a rule, which is
// two expressions, against the types of its table (check*.go, param.go), brings it into negation
// normal form, and plans it (plan.go): what is evaluated once per row, what once per
// subscription, and the disjuncts of the rest with the equalities that become keys of an index.
// [Program.For] places the columns in one version of the relation, [Program.Bind] binds claims and
// parameters. [Image] and [Binding] then evaluate (image.go, eval.go); the index that
// joins their keys is package channel's. [Binding.SQL] narrows down what a snapshot reads,
// [Binding.Explain] and [Program.Plan] are for people.
//
// # Semantics
//
// Comparisons mean what they mean in Postgres: SQL's three-valued logic, NULL included.
// x in list is x = ANY(list): an empty list is FALSE even for NULL, and a NULL in the list leaves
// unknown what no other element decides, so that !(x in list) is never TRUE then. x == null and
// x != null are IS NULL and IS NOT NULL of the value itself (for a composite: IS [NOT] DISTINCT FROM
// NULL). A value that stands alone is compared with true. Numbers compare exactly, texts byte by byte,
// and what has no such order, or depends on a collation, is refused by Compile.
//
// A row image may lack columns: what was not sent or cannot be read makes a comparison
// [Open], also with null, and never TRUE. Whatever is said of such an image holds for all rows that it
// can be.
//
// The index gives the verdict of [Binding.Eval] for every row and every binding; [Binding.SQL] is TRUE
// for at least the rows for which Eval is.
//
// Problems are values of [Problem] and [*Error] with an exact byte position; the caller, who
// knows the file, turns it into line and column. Nothing in this package panics,
// whatever the text. All functions may be called concurrently; a tree is not
// changed after Parse returned it. Only an [Image] belongs to one goroutine.
package filter
