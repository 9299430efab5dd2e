package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const smaps = `55b9af8c8000-7fff332ad000 ---p 00000000 00:00 0                          [rollup]
Rss:                1768 kB
Pss:                 228 kB
Pss_Dirty:           100 kB
Pss_Anon:            116 kB
Pss_File:            112 kB
Shared_Clean:       1612 kB
`

func TestParseSmaps(t *testing.T) {
	if m, err := parseSmaps(smaps); err != nil || m != (memory{1768 << 10, 228 << 10, 116 << 10}) {
		t.Errorf("got %+v, %v", m, err)
	}
	for text, want := range map[string]string{
		strings.ReplaceAll(smaps, "Pss_Anon", "Anon"): "lacks 1 of",
		"":                                    "lacks 3 of",
		strings.ReplaceAll(smaps, "228", "x"): "invalid syntax",
	} {
		if _, err := parseSmaps(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A process that holds more has more.
func TestProcess(t *testing.T) {
	before, err := memoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 512 {
		held[i] = 1
	}
	after, err := memoryOf(os.Getpid())
	if err != nil || after.anon < before.anon+32<<20 || after.rss < after.pss {
		t.Errorf("before 64 MB %+v, after %+v, %v", before, after, err)
	}
	held[0] = 2
	files, err := openFiles(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var open []*os.File
	for range 50 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
	}
	if n, err := openFiles(os.Getpid()); err != nil || n < files+25 { // other tests open and close theirs
		t.Errorf("%d descriptors, %d with %d more, %v", files, n, len(open), err)
	}
	for _, f := range open {
		_ = f.Close()
	}
	if _, err := memoryOf(-1); err == nil {
		t.Error("memory of no process")
	}
}

// Holes take no space.
func TestSizeOf(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b", "full"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	hole := filepath.Join(dir, "hole")
	if err := os.WriteFile(hole, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(hole, 1<<30); err != nil {
		t.Fatal(err)
	}
	if n, err := sizeOf(dir); err != nil || n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := sizeOf(filepath.Join(dir, "none")); n != 0 || err != nil {
		t.Errorf("no directory: %d, %v", n, err)
	}
}
