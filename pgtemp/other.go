//go:build !linux && !darwin

package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Here Start fails, so nothing else of this file is ever called.

type serverUser struct{ name string }

var interruptSignal, quitSignal os.Signal = os.Interrupt, os.Kill

func findServerUser() (*serverUser, error) {
	return nil, fmt.Errorf("pgtemp: throw-away clusters need Linux or macOS: %w", errors.ErrUnsupported)
}

func (*serverUser) sysProcAttr() *syscall.SysProcAttr { return nil }
func (*serverUser) mkdir(string) error                { return errors.ErrUnsupported }
func (*serverUser) own(*os.File) error                { return errors.ErrUnsupported }
func (*serverUser) canReach(string) bool              { return false }
func (*serverUser) makeDir(string) (string, error)    { return "", errors.ErrUnsupported }
func killTree(int) error                              { return errors.ErrUnsupported }
func freeSharedMemory(context.Context, int) error     { return errors.ErrUnsupported }
