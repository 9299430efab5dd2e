package channel

import (
	"strings"
	"testing"
)

// TestAudienceIDs: whatever the lengths, another group or name is another audience.
func TestAudienceIDs(t *testing.T) {
	long := strings.Repeat("g", 500)
	of := map[string]string{}
	for _, group := range []string{"", "a", "ab", long, long + "a", long + "ab"} {
		for _, name := range []string{"c", "bc", "orders", long} {
			id, what := audienceID(group, name), group+"|"+name
			if other, taken := of[id]; taken {
				t.Errorf("%q and %q are one audience", other, what)
			}
			of[id] = what
			if len(id) > 32 {
				t.Errorf("the id of %q has %d bytes", what, len(id))
			}
		}
	}
}
