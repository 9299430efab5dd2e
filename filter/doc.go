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
// # What is here
//
// [Parse] turns text into a tree of [Node]; [Node].String prints it back in
// canonical form, and parsing that gives the same tree. [Bindings] reads a
// `where` that does nothing but bind channel parameters to columns, which is all
// that this version evaluates: it refuses everything else, because a filter that
// is not evaluated would leak. Types, evaluation and the index over subscribers
// work on the same tree.
//
// Problems are values of [*Error] with an exact byte position; the caller, who
// knows the file, turns it into line and column. Nothing in this package panics,
// whatever the text. All functions may be called concurrently; a tree is not
// changed after Parse returned it.
package filter
