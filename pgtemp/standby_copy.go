package pgtemp

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// copyRunning copies the data directory of a running server that is in backup mode:
// what pg_basebackup would take, the WAL, and the state of the named slots. A file
// that goes meanwhile is left out, one that changes may come torn: recovery from the
// backup's WAL mends both.
func copyRunning(dst, src string, slots []string, owner *serverUser) error {
	var files errgroup.Group
	files.SetLimit(4)
	err := filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreVanished(err, path, src)
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		switch to := filepath.Join(dst, rel); {
		case leftOut(rel, slots):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir():
			return owner.mkdir(to)
		case entry.Type().IsRegular():
			files.Go(func() error { return ignoreVanished(copyFile(to, path, owner), path, src) })
		}
		return nil
	})
	return errors.Join(err, files.Wait())
}

// ignoreVanished is nil for a file or directory below root that is gone.
func ignoreVanished(err error, path, root string) error {
	if path != root && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptied are directories whose contents belong to the running server alone.
var emptied = []string{"pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"}

// leftOut tells which paths of a data directory are not for a copy.
func leftOut(rel string, slots []string) bool {
	dir, name := filepath.Split(rel)
	switch dir = filepath.Clean(dir); {
	case dir == "pg_replslot":
		return !slices.Contains(slots, name)
	case slices.Contains(emptied, dir):
		return true
	case dir == ".":
		return slices.Contains([]string{"postmaster.pid", "postmaster.opts", "backup_label", standbySignal, "recovery.signal"}, name)
	}
	return strings.HasPrefix(name, "pgsql_tmp") || strings.HasPrefix(name, "pg_internal.init")
}
