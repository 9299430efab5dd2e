package channel

import (
	"context"
	"errors"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

const (
	// pageRows and pageBytes bound a snapshot frame; one row may be larger.
	pageRows  = 500
	pageBytes = 256 << 10
	// maxSnapshot bounds the snapshots of one stream, however few rows they have.
	maxSnapshot = 64 << 20
)

// snapshotPage collects the rows of one channel into frames.
type snapshotPage struct {
	renewal  *renewal
	audience *audience
	plan     *plan
	image    *filter.Image
	rows     []byte // of the frame that is being filled, with commas between
	inFrame  int
	total    int
	runs     []*Run
}

// read asks for the rows that the user may see. The server's condition lets through too much
// at most: the same program that judges changes decides.
func (p *snapshotPage) read(ctx context.Context, snap Snapshot) error {
	r := p.audience.rule
	if r.Relation == nil {
		return ErrStarting
	}
	if p.plan = newPlan(r, r.Relation); p.plan.broken != "" {
		return errors.New(p.plan.broken)
	}
	p.image = r.Program.NewImage()
	where, args := p.audience.binding.SQL()
	err := snap.Read(ctx, SnapshotQuery{Relation: r.Relation, Where: where, Args: args}, p.row)
	if errors.Is(err, errTooManyRows) {
		p.runs = []*Run{p.tooMany()}
		return nil
	}
	if err != nil {
		return err
	}
	return p.frame(true)
}

// errTooManyRows ends the reading of a table that has more rows than a snapshot may.
var errTooManyRows = errors.New("too many rows")

func (p *snapshotPage) row(row []change.Value) error {
	p.image.Load(p.plan.layout, row)
	if p.audience.binding.Eval(p.image) != filter.True {
		return nil
	}
	if p.total++; p.total > p.audience.rule.Snapshot || p.renewal.bytes > maxSnapshot {
		return errTooManyRows
	}
	if p.inFrame > 0 {
		p.rows = append(p.rows, ',')
	}
	p.inFrame++
	p.rows, _ = p.plan.appendObject(p.rows, p.plan.columns, row)
	if p.inFrame == pageRows || len(p.rows) >= pageBytes {
		return p.frame(false)
	}
	return nil
}

// frame seals the rows so far.
func (p *snapshotPage) frame(last bool) error {
	data := appendSnapshot(nil, p.audience.name, p.rows, len(p.runs) == 0, last)
	p.rows, p.inFrame = p.rows[:0], 0
	b := &runBuffer{}
	b.event(EventSnapshot, data, change.Position{})
	run := b.seal()
	p.runs = append(p.runs, run)
	return p.renewal.charge(len(run.Bytes))
}

// tooMany says that the rows must be had elsewhere.
func (p *snapshotPage) tooMany() *Run {
	p.renewal.hub.stats.reset(ReasonSnapshot)
	b := &runBuffer{}
	b.event(EventReset, appendReset(nil, p.audience.name, ReasonSnapshot), change.Position{})
	return b.seal()
}

// appendSnapshot appends the data of a snapshot event; rows are objects with commas between.
func appendSnapshot(dst []byte, channel string, rows []byte, first, last bool) []byte {
	dst = change.AppendJSONString(append(dst, `{"channel":`...), []byte(channel))
	dst = append(append(dst, `,"rows":[`...), rows...)
	dst = append(dst, `],"first":`...)
	dst = appendBool(dst, first)
	dst = append(dst, `,"last":`...)
	return append(appendBool(dst, last), '}')
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}
