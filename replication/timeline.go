package replication

import (
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// switchPoint finds in a timeline history file where the timeline was left:
// "parentTLI <TAB> switchpoint <TAB> reason" a line.
func switchPoint(history string, timeline uint32) (change.LSN, bool) {
	for line := range strings.Lines(history) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		tli, err := strconv.ParseUint(fields[0], 10, 32)
		if err != nil || uint32(tli) != timeline {
			continue
		}
		if lsn, err := change.ParseLSN(fields[1]); err == nil {
			return lsn, true
		}
	}
	return 0, false
}

// quoteSlot quotes a slot's name for the replication command.
func quoteSlot(name string) string { return `"` + doubled(name) + `"` }

func doubled(s string) string { return strings.ReplaceAll(s, `"`, `""`) }
