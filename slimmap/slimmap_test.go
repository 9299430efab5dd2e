package slimmap

import (
	"runtime"
	"testing"
)

// TestDelete: entries that stay are there, and those that went take no memory.
func TestDelete(t *testing.T) {
	m, peak := map[int]int{}, 0
	for i := range 100_000 {
		m[i] = -i
	}
	full := heap()
	for i := 10; i < 100_000; i++ {
		Delete(&m, &peak, i)
		if _, ok := m[i]; ok {
			t.Fatalf("%d is still there", i)
		}
	}
	if left := heap(); left > full/2 {
		t.Errorf("the heap has %d bytes, of %d when the map was full", left, full)
	}
	if len(m) != 10 || peak > least {
		t.Errorf("%d are left, the peak is %d", len(m), peak)
	}
	for i := range 10 {
		if m[i] != -i {
			t.Errorf("%d is %d", i, m[i])
		}
	}
}

// TestDeleteWhileRanging: what nobody has deleted is met once.
func TestDeleteWhileRanging(t *testing.T) {
	m, peak, met := map[int]bool{}, 0, map[int]int{}
	for i := range 5000 {
		m[i] = true
	}
	for i := range m {
		met[i]++
		Delete(&m, &peak, i)
	}
	if len(m) != 0 || len(met) != 5000 {
		t.Errorf("%d are left, %d were met", len(m), len(met))
	}
	for i, n := range met {
		if n != 1 {
			t.Errorf("%d was met %d times", i, n)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkDelete: 10,000 come and go.
func BenchmarkDelete(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		m, peak := map[int]int{}, 0
		for i := range 10_000 {
			m[i] = i
		}
		for i := range 10_000 {
			Delete(&m, &peak, i)
		}
	}
}
