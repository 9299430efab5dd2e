package channel

import (
	"math"
	"testing"
)

// TestMatchedBeginsAnew: after four billion changes of one table their numbers come again, and no
// audience passes for one that has been met already.
func TestMatchedBeginsAnew(t *testing.T) {
	claims, rel := claimsOf(t, benchClaims...), filterRelation()
	rule := ruled(t, rel, Rule{Name: "orders"}, "", benchFilters[0].allow, claims...)
	rule.prepare()
	x := newIndex()
	a, err := newAudience(rule, "orders", benchUser(t, claims, 7), nil)
	if err != nil {
		t.Fatal(err)
	}
	x.audience(a)
	ir, layout := x.rule(rule), newPlan(rule, rel).layout
	for _, number := range []uint32{0, math.MaxUint32} {
		ir.matched = number
		if ir.find(layout, nil, benchRow(7)); len(ir.found[newImage]) != 1 {
			t.Errorf("behind change %d: %d audiences found, want 1", number, len(ir.found[newImage]))
		}
	}
}
