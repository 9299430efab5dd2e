package change

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshotHas(t *testing.T) {
	t.Parallel()
	const epoch = 1 << 32
	young := Snapshot{Xmin: 1000, Xmax: 1010, InProgress: []uint64{1000, 1003, 1009}}
	wrapped := Snapshot{Xmin: 5*epoch - 2, Xmax: 5*epoch + 10, InProgress: []uint64{5*epoch - 2, 5*epoch + 4}}
	half := Snapshot{Xmin: epoch + 1<<31, Xmax: epoch + 1<<31}
	for _, test := range []struct {
		name string
		v    Snapshot
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

func TestSnapshotEnded(t *testing.T) {
	t.Parallel()
	s := Snapshot{Xmin: 1<<32 + 2, Xmax: 1<<32 + 10, InProgress: []uint64{1<<32 + 2, 1<<32 + 6}}
	for _, test := range []struct {
		from, to uint32
		want     bool
	}{
		{1<<32 - 9, 1<<32 - 1, true}, {1<<32 - 9, 1, true}, {1<<32 - 9, 2, false}, {2, 2, false}, {3, 5, true}, {3, 6, false},
		{3, 9, false}, {6, 9, false}, {7, 9, true}, {7, 10, false}, {10, 11, false},
	} {
		if got := s.Ended(test.from, test.to); got != test.want {
			t.Errorf("Ended(%d, %d) = %v", test.from, test.to, got)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Snapshot{
		"3:3:":                  {Xmin: 3, Xmax: 3},
		"740:745:740,742":       {Xmin: 740, Xmax: 745, InProgress: []uint64{740, 742}},
		"4294967290:4294967300": {},
		"9223372036854775806:9223372036854775807:9223372036854775806": {Xmin: 1<<63 - 2, Xmax: 1<<63 - 1, InProgress: []uint64{1<<63 - 2}},
		"740:745:742,740":         {},
		"740:745:745":             {},
		"740:745:739":             {},
		"745:740:":                {},
		"740:745:740,":            {},
		"740:745:,740":            {},
		":745:":                   {},
		"740::":                   {},
		"740:745:x":               {},
		"-1:745:":                 {},
		"740:9223372036854775808": {},
		"":                        {},
		"740:745:740:741":         {},
	} {
		got, err := ParseSnapshot(text)
		if bad := want.Xmax == 0; bad != (err != nil) || bad && !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", text, diff)
		}
	}
}

func BenchmarkSnapshotHas(b *testing.B) {
	v := Snapshot{Xmin: 1000, Xmax: 1600}
	for xid := v.Xmin; xid < v.Xmax; xid += 6 {
		v.InProgress = append(v.InProgress, xid)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Has(1303)
	}
}
