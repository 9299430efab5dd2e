package filter

import "github.com/walrelay/walrelay/change"

// elements iterates over the elements of an array's text.
type elements struct{}

func (e *elements) reset(t *change.Type, elem Type, array []byte) {}
func (e *elements) next() (v value, ok bool)                      { return value{}, false }
func (e *elements) bad() bool                                     { return false }
