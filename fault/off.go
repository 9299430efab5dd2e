//go:build !faults

package fault

// At does nothing in this build.
func At(Point) {}

// NoSync is false in this build: the event log syncs.
func NoSync() bool { return false }
