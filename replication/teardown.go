package replication

import (
	"context"
	"fmt"
)

// Teardown drops slot and publication and says what it did. It refuses a slot that
// is in use or is not walrelay's kind.
func Teardown(ctx context.Context, t Target) (done []string, err error) {
	conn, err := Connect(ctx, t.URL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	slot, _, err := readSlot(ctx, conn, t.Slot)
	switch {
	case err != nil:
		return nil, err
	case slot == nil:
		done = append(done, "slot "+t.Slot+" does not exist")
	case slot.wrong() != nil:
		return nil, fmt.Errorf("teardown: slot %s is not walrelay's: %s; fix: correct postgres.slot or postgres.url", t.Slot, slot.wrong().Problem)
	case slot.Active:
		e := slot.inUse()
		e.Fix = fmt.Sprintf("stop walrelay, then run teardown again; to end another process: select pg_terminate_backend(%d);", e.PID)
		return nil, e
	default:
		if _, err := conn.Exec(ctx, "select pg_drop_replication_slot($1)", t.Slot); err != nil {
			return nil, fmt.Errorf("drop replication slot %s: %w", t.Slot, err)
		}
		done = append(done, "slot "+t.Slot+" dropped")
	}
	tag, err := conn.Exec(ctx, "select from pg_publication where pubname = $1", t.Publication)
	if err != nil {
		return done, fmt.Errorf("look for publication %s: %w", t.Publication, err)
	}
	if tag.RowsAffected() == 0 {
		return append(done, "publication "+t.Publication+" does not exist"), nil
	}
	if _, err := conn.Exec(ctx, "DROP PUBLICATION "+quoteIdent(t.Publication)); err != nil {
		return done, fmt.Errorf("drop publication %s: %w; fix: run as its owner: DROP PUBLICATION %s;", t.Publication, err, quoteIdent(t.Publication))
	}
	return append(done, "publication "+t.Publication+" dropped"), nil
}

// Plan lists what serve would change in the database, as SQL.
func (p *Preflight) Plan(t Target) []string {
	out := p.publicationSQL(t)
	if p.Slot == nil {
		failover := ""
		if p.Server.Version >= 170000 {
			failover = ", failover => true"
		}
		out = append(out, "select pg_create_logical_replication_slot("+quoteLiteral(t.Slot)+", 'pgoutput'"+failover+");")
	}
	return out
}
