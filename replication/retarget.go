package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errJoining ends a session that lacks tables of the target.
var errJoining = errors.New("tables join: beginning again")

// Retarget changes the tables that the Source follows, without losing anything of those
// that stay. First it looks at the database: what stands against the new target is a
// *PreflightError, and nothing changes then, nor when the database cannot be asked.
//
// It returns before the new tables are published. When tables join, the session ends,
// and the next one adds them to the publication; until then they are as unknown as before,
// from then on complete (Log.SetSince). A target without new tables disturbs nothing: tables
// that leave stay in the publication, where a person may take them out, so that they can
// come back.
//
// Safe for concurrent use, also before Run.
func (s *Source) Retarget(ctx context.Context, t Target) error {
	s.retargeting.Lock()
	defer s.retargeting.Unlock()
	if t.URL != s.o.URL || t.Slot != s.o.Slot || t.Publication != s.o.Publication {
		return &PermanentError{"change what is followed", errors.New("postgres.url, postgres.slot and postgres.publication stay what they are while walrelay runs"), "restart walrelay"}
	}
	p, err := s.lookAhead(ctx, t)
	if err != nil {
		return err
	}
	// What has become of the slot is not the target's doing: State tells it.
	if bad := slices.DeleteFunc(p.Findings.Errors(), func(f Finding) bool { return f.Err != nil }); len(bad) > 0 {
		return &PreflightError{bad}
	}
	t.Tables = slices.Clone(t.Tables)
	s.target.Store(&t)
	poke(s.retargeted)
	if state, _ := s.state.get(); state.Phase != PhaseStreaming {
		poke(s.mended) // perhaps it was a table
	}
	return nil
}

// lookAhead is the preflight of another target.
func (s *Source) lookAhead(ctx context.Context, t Target) (*Preflight, error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	cat := &catalog{url: s.o.URL}
	defer cat.close()
	conn, err := cat.get(ctx)
	if err != nil {
		return nil, err
	}
	p, err := Check(ctx, conn, t)
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	return p, nil
}

// covers reports whether a session for these tables does for another target's.
func (t Target) covers(other Target) bool {
	return !slices.ContainsFunc(other.Tables, func(o TableSpec) bool {
		return !slices.ContainsFunc(t.Tables, func(s TableSpec) bool {
			return s.fullName() == o.fullName() && s.Private == o.Private && (s.Watched || !o.Watched)
		})
	})
}
