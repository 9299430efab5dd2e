package eventlog

import (
	"errors"
	"time"
)

// retainLoop drops what is too old or too much, until Close. The log's one
// goroutine.
func (l *Log) retainLoop() {
	tick := time.NewTicker(l.opts.RetentionPeriod)
	defer tick.Stop()
	for {
		l.trim()
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		case <-l.oversize:
		}
	}
}

// trimSoon makes the loop look at MaxBytes now.
func (l *Log) trimSoon() {
	select {
	case l.oversize <- struct{}{}:
	default:
	}
}

// trim goes in the engine's small steps, so that floor and space follow at once.
func (l *Log) trim() {
	r := Retention{MaxBytes: l.opts.MaxBytes}
	if l.opts.Retention > 0 {
		r.Before = l.opts.Now().Add(-l.opts.Retention)
	}
	for more := true; more && l.ctx.Err() == nil; {
		var err error
		if more, err = l.engine.Trim(l.ctx, r); err != nil {
			if !errors.Is(err, l.ctx.Err()) {
				l.opts.Logger.Warn("event log: dropping old changes failed; it is tried again", "error", err)
			}
			more = false
		}
		l.cache.dropThrough(l.refresh().Floor)
	}
}
