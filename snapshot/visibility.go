package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/channel"
)

// parseSnapshot reads the text form of a pg_snapshot, "xmin:xmax:xip,xip", whose ids are
// full ones (xid8).
func parseSnapshot(text string) (v channel.Visibility, err error) {
	bad := func() (channel.Visibility, error) {
		return channel.Visibility{}, fmt.Errorf("read pg_current_snapshot: %q is no snapshot", text)
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return bad()
	}
	if v.Xmin, err = parseXID(parts[0]); err != nil {
		return bad()
	}
	if v.Xmax, err = parseXID(parts[1]); err != nil {
		return bad()
	}
	for xid := range strings.SplitSeq(parts[2], ",") {
		if parts[2] == "" {
			break
		}
		n, err := parseXID(xid)
		if err != nil || n < v.Xmin || n >= v.Xmax {
			return bad()
		}
		v.InProgress = append(v.InProgress, n)
	}
	if v.Xmin > v.Xmax || !slices.IsSorted(v.InProgress) {
		return bad()
	}
	return v, nil
}

// parseXID reads a full transaction id; those of Postgres leave the sign bit free.
func parseXID(s string) (uint64, error) { return strconv.ParseUint(s, 10, 63) }
