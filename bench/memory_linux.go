package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// memory is what a process holds, in bytes.
type memory struct {
	// rss has all pages, pss shared ones by their share. anon is the part of pss that is of no
	// file: the log is mapped, and its pages go when the machine wants them.
	rss, pss, anon int64
}

// memoryOf reads what a process holds now.
func memoryOf(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, fmt.Errorf("read memory of walrelay: %w", err)
	}
	return parseSmaps(string(b))
}

// parseSmaps reads smaps_rollup, see proc_pid_smaps(5).
func parseSmaps(text string) (m memory, err error) {
	missing := map[string]*int64{"Rss:": &m.rss, "Pss:": &m.pss, "Pss_Anon:": &m.anon}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" || missing[f[0]] == nil {
			continue
		}
		kb, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return m, fmt.Errorf("smaps_rollup: %q: %w", line, err)
		}
		*missing[f[0]] = kb << 10
		delete(missing, f[0])
	}
	if len(missing) > 0 {
		return m, fmt.Errorf("smaps_rollup lacks %d of Rss, Pss and Pss_Anon; the kernel must be 5.5 or newer", len(missing))
	}
	return m, nil
}

// openFiles counts the descriptors of a process.
func openFiles(pid int) (int, error) {
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("count descriptors of walrelay: %w", err)
	}
	return len(d), nil
}

// sizeOf is the space that the files below dir take, without holes. Files that go meanwhile count as
// nothing.
func sizeOf(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += info.Sys().(*syscall.Stat_t).Blocks * 512 // see stat(2)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}
