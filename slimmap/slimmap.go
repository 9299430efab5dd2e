// Package slimmap deletes from maps so that a burst of entries does not keep its memory: a Go map
// grows and never shrinks.
package slimmap

import "maps"

// least is the number of entries below which a map is left alone.
const least = 512

// Delete deletes k from m. peak belongs to m, begins with 0 and is changed by Delete only: the most
// entries since the map was made. A map of which a quarter is left is made anew, so that a deletion costs
// little on average, however many there are. Whoever ranges over m meanwhile may get entries that
// were deleted since.
func Delete[K comparable, V any](m *map[K]V, peak *int, k K) {
	*peak = max(*peak, len(*m))
	delete(*m, k)
	if *peak < least || len(*m) > *peak/4 {
		return
	}
	fresh := make(map[K]V, len(*m))
	maps.Copy(fresh, *m)
	*m, *peak = fresh, len(fresh)
}
