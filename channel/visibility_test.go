package channel

import "testing"

func TestVisibilityHas(t *testing.T) {
	t.Parallel()
	const epoch = 1 << 32
	young := Visibility{Xmin: 1000, Xmax: 1010, InProgress: []uint64{1000, 1003, 1009}}
	wrapped := Visibility{Xmin: 5*epoch - 2, Xmax: 5*epoch + 10, InProgress: []uint64{5*epoch - 2, 5*epoch + 4}}
	half := Visibility{Xmin: epoch + 1<<31, Xmax: epoch + 1<<31}
	for _, test := range []struct {
		name string
		v    Visibility
		xid  uint32
		want bool
	}{
		{"below xmin", young, 999, true},
		{"xmin itself", young, 1000, false},
		{"ended", young, 1001, true},
		{"in progress", young, 1003, false},
		{"the last one before xmax", young, 1009, false},
		{"ended before xmax", young, 1008, true},
		{"xmax", young, 1010, false},
		{"later", young, 2000, false},
		{"much later", young, 1010 + 1<<31 - 1, false},
		{"below the first id that ever was", young, 1 << 31 * 1.5, false},
		{"of the epoch before, below xmin", wrapped, 1<<32 - 3, true},
		{"of the epoch before, in progress", wrapped, 1<<32 - 2, false},
		{"of the epoch before, ended", wrapped, 1<<32 - 1, true},
		{"the first of the epoch", wrapped, 3, true},
		{"in progress in the epoch", wrapped, 4, false},
		{"xmax after a wrap", wrapped, 10, false},
		{"later after a wrap", wrapped, 11, false},
		{"as old as can be", half, 0, true},
		{"as new as can be", half, 1<<32 - 1, false},
		{"just before", half, 1<<31 - 1, true},
	} {
		if got := test.v.Has(test.xid); got != test.want {
			t.Errorf("%s: Has(%d) = %v", test.name, test.xid, got)
		}
	}
}

func BenchmarkVisibilityHas(b *testing.B) {
	v := Visibility{Xmin: 1000, Xmax: 1600}
	for xid := v.Xmin; xid < v.Xmax; xid += 6 {
		v.InProgress = append(v.InProgress, xid)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Has(1303)
	}
}
