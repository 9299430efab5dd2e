package eventlog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// Lineage says whose changes a log holds. Positions of different lineages must
// not be compared.
type Lineage struct {
	// SystemID is the cluster's system_identifier.
	SystemID string `json:"system_id"`
	// Timeline is the one that the cluster is on, Born the one that it was on when
	// this generation began. A clean promotion changes only Timeline.
	Timeline uint32 `json:"timeline"`
	Born     uint32 `json:"born"`
	// Generation counts the times the log had to begin anew, from 1; 0: never begun.
	Generation uint32 `json:"generation"`
	// Nonce is random and names this generation among those of all logs: a log that was
	// removed and made anew, or an older copy of it that goes on, counts the same numbers
	// again. Empty in generations that older versions began.
	Nonce string `json:"nonce,omitempty"`
}

// Ended is a lineage whose changes were dropped.
type Ended struct {
	Lineage Lineage `json:"lineage"`
	// Reason that Begin was given: "gap" or "lineage".
	Reason string `json:"reason"`
	// Last position that the log had reached.
	Last change.Position `json:"last"`
	At   time.Time       `json:"at"`
}

// maxHistory bounds the ended lineages kept; the oldest go first.
const maxHistory = 256

// metaFormat is the version of the whole log format. An older walrelay refuses a
// newer one.
const metaFormat = 1

// meta is what the engine keeps for the log besides the batches.
type meta struct {
	Format  int     `json:"format"`
	Lineage Lineage `json:"lineage"`
	History []Ended `json:"history,omitempty"`
	// Since are tables, schema.name, that are complete only from an LSN on; see
	// [Log.SetSince].
	Since map[string]change.LSN `json:"since,omitempty"`
	// Members is what SetMembers was given.
	Members map[string]string `json:"members,omitempty"`
}

func (m meta) encode() ([]byte, error) {
	m.Format = metaFormat
	blob, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode lineage: %w", err)
	}
	return seal(blob), nil
}

// decodeMeta reads a blob of encode; nil gives the meta of a log never begun.
func decodeMeta(sealed []byte) (meta, error) {
	var m meta
	if sealed == nil {
		return m, nil
	}
	blob, err := unseal(sealed)
	if err == nil {
		err = json.Unmarshal(blob, &m)
	}
	if err != nil {
		return m, fmt.Errorf("%w: lineage: %w", ErrCorrupt, err)
	}
	if m.Format != metaFormat {
		return m, fmt.Errorf("it has format %d, this walrelay knows %d: run the walrelay that wrote it, or give log.dir an empty directory", m.Format, metaFormat)
	}
	return m, nil
}

// Begin starts a generation: the log is empty and continues after
// [change.Before](floor), WAL is floor. Generation, Born and Nonce are assigned.
//
// The first call of a new log sets its genesis, which is the slot's consistent
// point. On a log that was begun before all batches are dropped, and the ended
// lineage goes to the History with the reason ("gap", "lineage"). A batch that was
// published but never stored is dropped too.
//
// Atomic: with an error everything is as it was.
func (l *Log) Begin(ctx context.Context, lin Lineage, floor change.LSN, reason string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.checkOpen(); err != nil {
		return fmt.Errorf("begin event log: %w", err)
	}
	if lin.SystemID == "" || floor == 0 {
		return errors.New("begin event log: system identifier and first LSN are needed")
	}
	now := l.Bounds()
	m := meta{Lineage: lin, History: l.History(), Since: l.sinceAbove(floor)}
	m.Lineage.Generation, m.Lineage.Born, m.Lineage.Nonce = now.Lineage.Generation+1, lin.Timeline, rand.Text()
	if now.Lineage.Generation > 0 {
		m.History = append(m.History, Ended{now.Lineage, reason, now.Last, l.opts.Now().UTC()})
		m.History = m.History[max(0, len(m.History)-maxHistory):]
	}
	if err := l.begin(ctx, m, floor); err != nil {
		return fmt.Errorf("begin generation %d of event log: %w", m.Lineage.Generation, unavailable(err))
	}
	l.pending = nil
	l.changed.wake()
	return nil
}

// sinceAbove is what of Since still counts when the log begins at floor.
func (l *Log) sinceAbove(floor change.LSN) map[string]change.LSN {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := maps.Clone(l.since)
	maps.DeleteFunc(out, func(_ string, since change.LSN) bool { return since <= floor })
	return out
}

// begin changes engine and log together.
func (l *Log) begin(ctx context.Context, m meta, floor change.LSN) error {
	l.beginning.Lock()
	defer l.beginning.Unlock()
	blob, err := m.encode()
	if err != nil {
		return err
	}
	if err := l.engine.Begin(ctx, blob, change.Before(floor), floor); err != nil {
		return err
	}
	l.adopt(m)
	fault.At(fault.Begun)
	return nil
}

// SetTimeline records that the cluster has moved to another timeline without
// losing anything the log has: a clean promotion. The generation goes on. A
// timeline that goes back is an error: that needs Begin.
func (l *Log) SetTimeline(ctx context.Context, timeline uint32) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.checkOpen(); err != nil {
		return fmt.Errorf("set timeline of event log: %w", err)
	}
	now := l.currentMeta()
	switch {
	case now.Lineage.Generation == 0:
		return errors.New("set timeline of event log: it has no lineage: call Begin first")
	case timeline < now.Lineage.Timeline:
		return fmt.Errorf("set timeline of event log to %d: it is on %d already, this is another history: call Begin", timeline, now.Lineage.Timeline)
	case timeline == now.Lineage.Timeline:
		return nil
	}
	now.Lineage.Timeline = timeline
	if err := l.setMeta(ctx, now); err != nil {
		return fmt.Errorf("set timeline of event log to %d: %w", timeline, err)
	}
	return nil
}

// setMeta stores m and takes it over. l.writing is held.
func (l *Log) setMeta(ctx context.Context, m meta) error {
	blob, err := m.encode()
	if err == nil {
		err = l.engine.SetMeta(ctx, blob)
	}
	if err != nil {
		return unavailable(err)
	}
	l.mu.Lock()
	l.bounds.Lineage, l.since, l.members = m.Lineage, m.Since, m.Members
	l.sinceVersion.Add(1)
	l.mu.Unlock()
	l.changed.wake()
	return nil
}

// SetSince records, durably, that the log has the changes of a table, schema.name,
// only from the LSN on: it was added to the publication there, while the log went on.
// A new generation keeps it if it begins before that.
func (l *Log) SetSince(ctx context.Context, table string, since change.LSN) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.checkOpen(); err != nil {
		return fmt.Errorf("note in the event log where %s begins: %w", table, err)
	}
	now := l.currentMeta()
	if now.Since == nil {
		now.Since = map[string]change.LSN{}
	}
	now.Since[table] = since
	if err := l.setMeta(ctx, now); err != nil {
		return fmt.Errorf("note in the event log where %s begins: %w", table, err)
	}
	return nil
}

// Since is the LSN from which on a table's changes are complete; 0: as far as the
// log goes.
func (l *Log) Since(table string) change.LSN {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.since[table]
}

// SinceVersion changes whenever Since may give another answer for some table.
func (l *Log) SinceVersion() uint64 { return l.sinceVersion.Load() }

// SetMembers notes durably how each table, schema.name, is a member of the
// publication, in the caller's words. A new generation forgets it.
func (l *Log) SetMembers(ctx context.Context, members map[string]string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.checkOpen(); err != nil {
		return fmt.Errorf("note the publication's tables in the event log: %w", err)
	}
	now := l.currentMeta()
	if maps.Equal(now.Members, members) {
		return nil
	}
	now.Members = maps.Clone(members)
	if err := l.setMeta(ctx, now); err != nil {
		return fmt.Errorf("note the publication's tables in the event log: %w", err)
	}
	return nil
}

// Members is what was noted last; nil for nothing. It must not be changed.
func (l *Log) Members() map[string]string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.members
}

// currentMeta is a copy of all that setMeta stores.
func (l *Log) currentMeta() meta {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return meta{Lineage: l.bounds.Lineage, History: slices.Clone(l.history), Since: maps.Clone(l.since), Members: l.members}
}

// History returns the lineages that ended in this log, oldest first.
func (l *Log) History() []Ended {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.history)
}
