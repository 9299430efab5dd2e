package integration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cutDisk is the disk of a relay's log, whose power can be cut: ext4 on a loop
// device, whose content is a file.
//
// What the device was sent is in the file's page cache, where reading the file finds
// it. What only the file system knows, dirty pages and an open transaction of its
// journal, is not: that is what a power cut loses.
type cutDisk struct {
	relay *relay
	image string // file
	dir   string // where it is mounted
}

const diskBytes = 64 << 20

// mountable tries out whether disks can be made here.
func mountable(t *testing.T) error {
	t.Helper()
	if os.Geteuid() != 0 {
		return errors.New("this is not root")
	}
	d, err := makeDisk(tempDir(t))
	if err != nil {
		return err
	}
	d.unmount(t)
	return nil
}

// newCutDisk moves the log of a relay, which has not been started, to a disk.
func newCutDisk(t *testing.T, r *relay) *cutDisk {
	t.Helper()
	d, err := makeDisk(tempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.unmount(t) })
	d.relay = r
	r.logDir = filepath.Join(d.dir, "log")
	r.env = append(r.env, "LOG_DIR="+r.logDir)
	return d
}

// makeDisk makes a file system and mounts it, all below dir. Nothing is left to be
// initialised later, in the background.
func makeDisk(dir string) (*cutDisk, error) {
	d := &cutDisk{image: filepath.Join(dir, "image"), dir: filepath.Join(dir, "disk")}
	if err := errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, diskBytes)); err != nil {
		return nil, err
	}
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return d, d.mount()
}

// mount lets the journal commit by itself only after minutes: while a copy is made
// nothing changes.
func (d *cutDisk) mount() error {
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,commit=600", d.image, d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	return nil
}

func (d *cutDisk) unmount(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		if err := unix.Unmount(d.dir, 0); err != nil {
			return fmt.Sprintf("unmount %s: %v", d.dir, err)
		}
		return ""
	})
}

// cut waits until the relay's process is stopped, takes what the disk has, and goes
// on with that: the process is gone, the file system recovers from its journal.
func (d *cutDisk) cut(t *testing.T) {
	t.Helper()
	waitStopped(t, d.relay.cmd.Process.Pid)
	d.wantBuffered(t)
	after := d.image + ".cut"
	if err := copySparse(after, d.image); err != nil {
		t.Fatal(err)
	}
	wantUnclean(t, after)
	d.relay.kill9(t)
	d.unmount(t)
	if err := os.Rename(after, d.image); err != nil {
		t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		t.Fatal(err)
	}
}

// waitStopped waits until every thread of a process has been stopped: one that is in
// a system call, a sync say, first ends that.
func waitStopped(t *testing.T, pid int) {
	t.Helper()
	eventually(t, func() string {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			t.Fatalf("process %d has no threads (%v)", pid, err)
		}
		for _, path := range threads {
			stat, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) { // it has ended meanwhile
				continue
			}
			if end := bytes.LastIndexByte(stat, ')'); err != nil || end < 0 || end+2 >= len(stat) || stat[end+2] != 'T' {
				return fmt.Sprintf("walrelay is not stopped: %s (%v)", stat, err)
			}
		}
		return ""
	})
}

// wantBuffered makes sure that the device writes into the file's page cache, from
// which the copy is made.
func (d *cutDisk) wantBuffered(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		device, rest, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(rest, d.dir+" ") {
			continue
		}
		direct, err := os.ReadFile("/sys/block/" + filepath.Base(device) + "/loop/dio")
		if err != nil || strings.TrimSpace(string(direct)) != "0" {
			t.Fatalf("%s does not write through the page cache: dio %q (%v)", device, direct, err)
		}
		return
	}
	t.Fatalf("%s is not mounted", d.dir)
}

// copySparse copies a file without its holes.
func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = copyData(out, in)
	return errors.Join(err, out.Truncate(diskBytes), out.Close())
}

func copyData(out, in *os.File) error {
	for at := int64(0); ; {
		begin, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(int(in.Fd()), begin, unix.SEEK_HOLE); err != nil {
			return err
		}
		data := make([]byte, at-begin)
		if _, err := io.ReadFull(io.NewSectionReader(in, begin, at-begin), data); err != nil {
			return err
		}
		if _, err := out.WriteAt(data, begin); err != nil {
			return err
		}
	}
}

// wantUnclean makes sure that a file system has to recover from its journal: it was
// in use.
func wantUnclean(t *testing.T, image string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	features := make([]byte, 4) // s_feature_incompat of the superblock
	if _, err := f.ReadAt(features, 1024+0x60); err != nil {
		t.Fatal(err)
	}
	if binary.LittleEndian.Uint32(features)&4 == 0 { // EXT4_FEATURE_INCOMPAT_RECOVER
		t.Fatal("the copy of the disk is that of a file system that was unmounted")
	}
}
