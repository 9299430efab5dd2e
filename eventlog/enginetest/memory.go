package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// Memory is what an engine stores, in memory: durable as long as the value lives,
// over any number of engines opened on it one after the other. The zero value is
// empty.
type Memory struct {
	mu        sync.RWMutex
	records   []eventlog.Entry
	relations map[uint64][]byte
	bounds    eventlog.EngineBounds
	begun     bool
	meta      []byte
}

// Open returns an engine on m.
func (m *Memory) Open() eventlog.Engine { return &memoryEngine{m: m} }

// memoryEngine is an open Memory. closed is guarded by m.mu.
type memoryEngine struct {
	m      *Memory
	closed bool
}

func (e *memoryEngine) check(ctx context.Context) error {
	if e.closed {
		return eventlog.ErrClosed
	}
	return ctx.Err()
}

func (e *memoryEngine) Bounds() eventlog.EngineBounds {
	e.m.mu.RLock()
	defer e.m.mu.RUnlock()
	b := e.m.bounds
	b.Batches = int64(len(e.m.records))
	if b.Batches > 0 {
		b.Oldest = e.m.records[0].Time
	}
	return b
}

func (e *memoryEngine) Meta(ctx context.Context) ([]byte, error) {
	e.m.mu.RLock()
	defer e.m.mu.RUnlock()
	return e.m.meta, e.check(ctx)
}

func (e *memoryEngine) Append(ctx context.Context, en *eventlog.Entry) error {
	m := e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := e.check(ctx); err != nil {
		return err
	}
	switch {
	case !m.begun:
		return errors.New("it was never begun")
	case !m.bounds.Last.Less(en.Last) && m.bounds.WAL >= en.WAL:
		return nil
	case en.Prev != m.bounds.Last:
		return fmt.Errorf("stored changes end at %s, not at %s", m.bounds.Last, en.Prev)
	}
	m.bounds.WAL = max(m.bounds.WAL, en.WAL)
	if en.Last == en.Prev {
		return nil
	}
	for _, r := range en.Relations {
		m.relations[r.ID] = r.Definition
	}
	stored := *en
	stored.Record, stored.Relations = slices.Clone(en.Record), nil
	m.records = append(m.records, stored)
	m.bounds.Last = en.Last
	m.bounds.Bytes += int64(len(en.Record))
	return nil
}

func (e *memoryEngine) Read(ctx context.Context, after change.Position, visit func(change.Position, []byte) bool) error {
	e.m.mu.RLock()
	defer e.m.mu.RUnlock()
	if err := e.check(ctx); err != nil {
		return err
	}
	r := e.m.records
	for _, en := range r[sort.Search(len(r), func(i int) bool { return after.Less(r[i].Last) }):] {
		if !visit(en.Last, en.Record) {
			break
		}
	}
	return nil
}

func (e *memoryEngine) Relation(ctx context.Context, id uint64) ([]byte, error) {
	e.m.mu.RLock()
	defer e.m.mu.RUnlock()
	return e.m.relations[id], e.check(ctx)
}

func (e *memoryEngine) Trim(ctx context.Context, r eventlog.Retention) (bool, error) {
	m := e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := e.check(ctx); err != nil || len(m.records) == 0 {
		return false, err
	}
	first := m.records[0]
	if !first.Time.Before(r.Before) && (r.MaxBytes == 0 || m.bounds.Bytes <= r.MaxBytes) {
		return false, nil
	}
	m.records = slices.Clone(m.records[1:])
	m.bounds.Floor = first.Last
	m.bounds.Bytes -= int64(len(first.Record))
	return true, nil
}

func (e *memoryEngine) Begin(ctx context.Context, meta []byte, floor change.Position, wal change.LSN) error {
	m := e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := e.check(ctx); err != nil {
		return err
	}
	m.begun, m.meta, m.records, m.relations = true, slices.Clone(meta), nil, map[uint64][]byte{}
	m.bounds = eventlog.EngineBounds{Floor: floor, Last: floor, WAL: wal}
	return nil
}

func (e *memoryEngine) SetMeta(ctx context.Context, meta []byte) error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if err := e.check(ctx); err != nil {
		return err
	}
	if !e.m.begun {
		return errors.New("it was never begun")
	}
	e.m.meta = slices.Clone(meta)
	return nil
}

func (e *memoryEngine) Close() error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.closed = true
	return nil
}
