package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpus says where processes run: the server that is measured has a CPU for itself, and the
// clients, the publisher and Postgres share another one. Where there is one CPU, nothing is
// pinned.
type cpus struct {
	all, server, others unix.CPUSet
	pinned              bool
	says                string
	postmaster          int // Postgres' process
}

// findCPUs looks at what this process may use.
func findCPUs() (c cpus, err error) {
	if err := unix.SchedGetaffinity(0, &c.all); err != nil {
		return c, fmt.Errorf("read the CPUs of this process: %w", err)
	}
	var two []int
	for i := 0; len(two) < 2 && i < 1024; i++ {
		if c.all.IsSet(i) {
			two = append(two, i)
		}
	}
	if len(two) < 2 {
		c.says = "one CPU, which all share"
		return c, nil
	}
	c.server.Set(two[0])
	c.others.Set(two[1])
	c.pinned = true
	c.says = fmt.Sprintf("server on CPU %d; clients, publisher and Postgres on CPU %d", two[0], two[1])
	return c, nil
}

// start runs f, which starts a server, so that the server has the server's CPU from its
// beginning: Go programs make a thread for each CPU that they see then.
func (c *cpus) start(f func() error) error {
	if !c.pinned {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var was unix.CPUSet
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		return fmt.Errorf("read the CPUs of a thread: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &c.server); err != nil {
		return fmt.Errorf("pin a thread to the server's CPU: %w", err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &was))
}

// shareCPUs lets this process and Postgres share the CPU beside the server's, until free is called.
func (l *lab) shareCPUs() (*cpus, error) {
	c, err := findCPUs()
	if err != nil {
		return nil, err
	}
	if c.postmaster, err = l.postmaster(); err != nil {
		return nil, err
	}
	return &c, c.pinShared(&c.others)
}

// free lets this process and Postgres run everywhere again.
func (c *cpus) free() error { return c.pinShared(&c.all) }

func (c *cpus) pinShared(set *unix.CPUSet) error {
	if !c.pinned {
		return nil
	}
	for _, pid := range []int{os.Getpid(), c.postmaster} {
		for _, p := range family(pid) {
			if err := pin(p, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// pin moves all threads of a process, and those that they start meanwhile.
func pin(pid int, set *unix.CPUSet) error {
	var done []string
	for {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return err
		}
		tasks = slices.DeleteFunc(tasks, func(t string) bool { return slices.Contains(done, t) })
		if len(tasks) == 0 {
			return nil
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin thread %d of process %d: %w", tid, pid, err)
			}
		}
		done = append(done, tasks...)
	}
}

// family is a process and those that its first thread has started and that still run.
func family(pid int) []int {
	out := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return out // it has ended, and so have they
	}
	for f := range strings.FieldsSeq(string(b)) {
		if child, err := strconv.Atoi(f); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// familySeconds is the CPU time of a process and its children that run. What a child that ends
// has used is lost.
func familySeconds(pid int) (float64, error) {
	var sum float64
	for i, p := range family(pid) {
		s, err := cpuSeconds(p)
		if err != nil && i > 0 {
			continue // it has ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}
