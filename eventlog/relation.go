package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/walrelay/walrelay/change"
)

// relationVersions bounds the relation versions kept in memory. Each table needs
// one, and one more per ALTER TABLE that the history still reaches back over.
const relationVersions = 8192

// relations keeps relation versions by id, decoded and encoded once, so that
// batches from the stream and from disk share them. Safe for concurrent use.
type relations struct {
	known *lru.Cache[uint64, relation]
}

// relation is one version. Immutable.
type relation struct {
	rel *change.Relation
	def Definition
}

func newRelations() (*relations, error) {
	known, err := lru.New[uint64, relation](relationVersions)
	if err != nil {
		return nil, fmt.Errorf("create relation cache: %w", err)
	}
	return &relations{known: known}, nil
}

// define returns the encoded form of r and remembers r under its id.
func (c *relations) define(r *change.Relation) (Definition, error) {
	if r == nil || r.ID == 0 {
		return Definition{}, errors.New("a relation without id")
	}
	if have, ok := c.known.Get(r.ID); ok {
		return have.def, nil
	}
	blob, err := json.Marshal(r)
	if err != nil {
		return Definition{}, fmt.Errorf("encode relation %s: %w", r.FullName(), err)
	}
	def := Definition{ID: r.ID, Definition: seal(blob)}
	c.known.Add(r.ID, relation{r, def})
	return def, nil
}

// resolve returns the relations of the ids, reading those that are not known.
func (c *relations) resolve(ctx context.Context, e Engine, ids []uint64) ([]*change.Relation, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rels := make([]*change.Relation, len(ids))
	for i, id := range ids {
		have, ok := c.known.Get(id)
		if !ok {
			var err error
			if have, err = load(ctx, e, id); err != nil {
				return nil, err
			}
			c.known.Add(id, have)
		}
		rels[i] = have.rel
	}
	return rels, nil
}

// load reads one definition from the engine.
func load(ctx context.Context, e Engine, id uint64) (relation, error) {
	def, err := e.Relation(ctx, id)
	if err != nil {
		return relation{}, fmt.Errorf("read relation %016x: %w", id, err)
	}
	if def == nil {
		return relation{}, fmt.Errorf("%w: relation %016x is missing", ErrCorrupt, id)
	}
	rel := new(change.Relation)
	blob, err := unseal(def)
	if err == nil {
		err = json.Unmarshal(blob, rel)
	}
	if err == nil && rel.ID != id {
		err = fmt.Errorf("it has id %016x", rel.ID)
	}
	if err != nil {
		return relation{}, fmt.Errorf("%w: relation %016x: %w", ErrCorrupt, id, err)
	}
	return relation{rel, Definition{ID: id, Definition: def}}, nil
}
