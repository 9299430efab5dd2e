package filter

// Truth is the value of a condition in SQL's three-valued logic, with unknown split in
// two. The order counts: && is the least of its terms and || the greatest, once
// negation has been pushed down to the comparisons, as it is in a [Program].
type Truth uint8

// The values.
const (
	// False is FALSE.
	False Truth = iota
	// Unknown is SQL's unknown: an operand is NULL. The row is not in the set.
	Unknown
	// Open: unknown because the row image does not carry a column or it cannot be read.
	// With it the condition could be TRUE.
	Open
	// True is TRUE.
	True
)
