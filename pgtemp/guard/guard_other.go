//go:build !unix

package guard

import (
	"errors"
	"fmt"
)

// Guard is not available on this system.
type Guard struct{}

// New fails: a guard needs a Unix system.
func New() (*Guard, error) { return nil, fmt.Errorf("guard: %w", errors.ErrUnsupported) }

// Watch does nothing.
func (*Guard) Watch(int) error { return errors.ErrUnsupported }

// Forget does nothing.
func (*Guard) Forget(int) error { return errors.ErrUnsupported }

// Dir does nothing.
func (*Guard) Dir(string) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Guard) Close() error { return nil }
