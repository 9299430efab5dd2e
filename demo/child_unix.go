//go:build unix

package demo

import (
	"os"
	"syscall"
)

// ownGroup makes a process the first of a process group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends a process and the others of its group. They have ended already, or
// they end now: there is no error to speak of.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
