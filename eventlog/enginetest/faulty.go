package enginetest

import (
	"context"
	"sync/atomic"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// Faulty passes everything on to an engine, except while a fault is set.
type Faulty struct {
	eventlog.Engine
	before, after atomic.Pointer[error]
	// Appends and Reads count the calls, the failed ones too.
	Appends, Reads atomic.Int64
}

// Fail makes every call that stores or reads return err without reaching the
// engine, like a full disk; nil ends that.
func (f *Faulty) Fail(err error) { set(&f.before, err) }

// FailAfter makes Append return err although the engine has stored the entry, like
// a sync that failed or an answer that was lost; nil ends that.
func (f *Faulty) FailAfter(err error) { set(&f.after, err) }

func set(p *atomic.Pointer[error], err error) {
	if err == nil {
		p.Store(nil)
		return
	}
	p.Store(&err)
}

func fault(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

// Append counts, fails or stores.
func (f *Faulty) Append(ctx context.Context, e *eventlog.Entry) error {
	f.Appends.Add(1)
	if err := fault(&f.before); err != nil {
		return err
	}
	if err := f.Engine.Append(ctx, e); err != nil {
		return err
	}
	return fault(&f.after)
}

// Read counts, fails or reads.
func (f *Faulty) Read(ctx context.Context, after change.Position, visit func(change.Position, []byte) bool) error {
	f.Reads.Add(1)
	if err := fault(&f.before); err != nil {
		return err
	}
	return f.Engine.Read(ctx, after, visit)
}

// Begin fails or begins.
func (f *Faulty) Begin(ctx context.Context, meta []byte, floor change.Position, wal change.LSN) error {
	if err := fault(&f.before); err != nil {
		return err
	}
	return f.Engine.Begin(ctx, meta, floor, wal)
}

// SetMeta fails or stores.
func (f *Faulty) SetMeta(ctx context.Context, meta []byte) error {
	if err := fault(&f.before); err != nil {
		return err
	}
	return f.Engine.SetMeta(ctx, meta)
}
