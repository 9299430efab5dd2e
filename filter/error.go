package filter

import "fmt"

// Error is a problem at a place in an expression.
type Error struct {
	// Pos is where the problem begins; the length of the text when something is
	// missing at its end.
	Pos Pos
	// Msg says what is wrong and, where that is clear, what to write instead.
	Msg string
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Pos, e.Msg) }

func errorf(pos Pos, format string, args ...any) *Error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}
