package pgtemp

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// copyTree copies the directory src to the new directory dst, readable by its
// owner only, and gives it to owner (nil: this process's user). File contents go
// by copy_file_range where the system has it, which shares blocks on file
// systems that can.
func copyTree(dst, src string, owner *serverUser) error {
	var files errgroup.Group
	files.SetLimit(4) // small files: the system calls of several overlap
	err := filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if entry.IsDir() {
			return owner.mkdir(to)
		}
		files.Go(func() error { return copyFile(to, path, owner) })
		return nil
	})
	return errors.Join(err, files.Wait())
}

func copyFile(dst, src string, owner *serverUser) (err error) {
	from, err := os.Open(src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := copyContents(to, from); err != nil {
		return err
	}
	return owner.own(to)
}

// sparseFrom is the size from which files are copied with holes. In a fresh
// cluster that is the WAL segment: 16 MB, all but the first pages zero, and
// nearly half of the cluster.
const sparseFrom = 1 << 20

func copyContents(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if info.Size() < sparseFrom {
		_, err := io.Copy(to, from)
		return err
	}
	block := make([]byte, 64<<10)
	for offset := int64(0); offset < info.Size(); offset += int64(len(block)) {
		n, err := from.ReadAt(block, offset)
		if err != nil && err != io.EOF {
			return err
		}
		if len(bytes.TrimLeft(block[:n], "\x00")) == 0 {
			continue
		}
		if _, err := to.WriteAt(block[:n], offset); err != nil {
			return err
		}
	}
	return to.Truncate(info.Size())
}

// linkTree makes dst a copy of the installation src whose files are hard links,
// or copies where dst is on another file system, and whose directories anybody
// may enter. Static libraries are left out.
func linkTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		return linkEntry(filepath.Join(dst, rel), path, entry)
	})
}

func linkEntry(to, path string, entry fs.DirEntry) error {
	switch {
	case entry.IsDir():
		return os.Mkdir(to, 0o755)
	case filepath.Ext(path) == ".a":
		return nil
	case entry.Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if os.Link(path, to) == nil {
		return nil
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if err := copyFile(to, path, nil); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm())
}
