package channel

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/walrelay/walrelay/change"
)

// matcher turns changes into frames of the views that ride one lane. It belongs
// to the lane's goroutine; its buffers are reused from change to change, so that
// a change costs no allocation, whatever the number of subscribers.
type matcher struct {
	index *index
	hub   *Hub
	plans map[*change.Relation][]*boundRule

	after, before []change.Value
	key           []byte
	data          []byte

	// tx is the transaction that txTail and commit were made of: ,"tx":{…}} is the
	// same for all of its changes.
	tx     change.Tx
	txTail []byte
	commit time.Time
}

// boundRule is a rule of the index with its plan for one relation version.
type boundRule struct {
	*indexedRule
	plan *plan
}

// maxPlans bounds the cache of plans; relation versions are few, so it is only
// reached by tables that are altered all the time.
const maxPlans = 4096

func (m *matcher) rulesOf(rel *change.Relation) []*boundRule {
	if rs, ok := m.plans[rel]; ok {
		return rs
	}
	if len(m.plans) >= maxPlans {
		clear(m.plans)
	}
	var rs []*boundRule
	for _, ir := range m.index.tables[tableKey(rel.Schema, rel.Name)] {
		p := newPlan(ir.rule, rel)
		if p.broken != "" {
			m.hub.log.Error("channel suspended: its clients get reset instead of rows", "channel", ir.rule.Name, "cause", p.broken,
				"fix", "restore the table or change channels."+ir.rule.Name+" in the configuration and restart")
		}
		rs = append(rs, &boundRule{indexedRule: ir, plan: p})
	}
	m.plans[rel] = rs
	return rs
}

// change matches one change. An error means that the row cannot be read: the lane
// must not go on as if it had not been there.
func (m *matcher) change(c *change.Change) error {
	if c.Tx != m.tx || m.txTail == nil {
		m.tx, m.commit = c.Tx, c.Tx.At()
		m.txTail = append(appendTx(m.txTail[:0], c.Tx), '}')
	}
	switch c.Op {
	case change.Truncate:
		m.truncate(c)
	case change.Message:
		m.message(c)
	default:
		return m.row(c)
	}
	return nil
}

func (m *matcher) row(c *change.Change) error {
	decoded := false
	for _, r := range m.rulesOf(c.Relation) {
		if r.riders == 0 {
			continue
		}
		if r.plan.broken != "" {
			m.suspend(c, r)
			continue
		}
		if !decoded {
			var err error
			if m.after, m.before, err = c.Images(m.after, m.before); err != nil {
				return err
			}
			decoded = true
		}
		if c.Oversize && r.plan.blind(m.after, m.before) {
			m.suspend(c, r)
			continue
		}
		switch c.Op {
		case change.Insert:
			m.appear(c, r, m.audience(r, m.after))
		case change.Delete:
			m.vanish(c, r, m.audience(r, m.before))
		case change.Update:
			m.update(c, r)
		}
	}
	return nil
}

// suspend resets the audiences of a rule that cannot judge a change: fail closed, but
// say so. The reset stands at the change's own position, so that whoever has an id
// behind the change has the reset too.
func (m *matcher) suspend(c *change.Change, r *boundRule) {
	for _, a := range r.audiences {
		if a.suspended++; a.suspended == 1 {
			m.index.suspended = append(m.index.suspended, a)
			m.reset(a, ReasonGap, c.Position)
		}
	}
}

// endBatch resets once more, behind everything else, those who were suspended more
// than once in the batch.
func (m *matcher) endBatch(last change.Position) {
	for i, a := range m.index.suspended {
		if a.suspended > 1 {
			m.reset(a, ReasonGap, last)
		}
		a.suspended, m.index.suspended[i] = 0, nil
	}
	m.index.suspended = m.index.suspended[:0]
}

// reset tells an audience to forget its rows.
func (m *matcher) reset(a *indexedAudience, reason Reason, at change.Position) {
	m.data = appendReset(m.data[:0], a.name, reason)
	m.hub.stats.reset(reason, 1)
	for _, v := range a.views {
		m.index.add(v, EventReset, m.data, at, m.commit)
	}
}

// audience is the one whose bound values the row has, nil when nobody rides it.
func (m *matcher) audience(r *boundRule, row []change.Value) *indexedAudience {
	key, ok := r.plan.boundKey(m.key[:0], row)
	m.key = key
	if !ok {
		return nil
	}
	return r.audiences[string(key)]
}

// update sends each audience the change from its point of view: a row that enters
// is an insert, one that leaves is a delete with the key only, and a changed key is
// both.
func (m *matcher) update(c *change.Change, r *boundRule) {
	was, is := m.audience(r, m.before), m.audience(r, m.after)
	switch {
	case was != is:
		m.vanish(c, r, was)
		m.appear(c, r, is)
	case is == nil:
	case !r.plan.sameKey(m.before, m.after):
		m.vanish(c, r, was)
		m.appear(c, r, is)
	default:
		m.data = append(append(m.data[:0], is.head...), `update"`...)
		m.data = r.plan.appendKey(m.data, m.after)
		m.body(c, r, "unchanged")
		m.emit(c, is, EventUpdate)
	}
}

// appear sends the row as new.
func (m *matcher) appear(c *change.Change, r *boundRule, a *indexedAudience) {
	if a == nil {
		return
	}
	m.data = append(append(m.data[:0], a.head...), `insert"`...)
	m.data = r.plan.appendKey(m.data, m.after)
	m.body(c, r, "missing")
	m.emit(c, a, EventInsert)
}

// body appends the row, or says that it is too large.
func (m *matcher) body(c *change.Change, r *boundRule, absent string) {
	if c.Oversize {
		m.data = append(m.data, `,"row":null,"oversize":true`...)
		return
	}
	m.data = r.plan.appendRow(m.data, m.after, absent)
}

// vanish sends the key of a row that is gone or no longer in the channel; never
// anything of its new image.
func (m *matcher) vanish(c *change.Change, r *boundRule, a *indexedAudience) {
	if a == nil {
		return
	}
	m.data = append(append(m.data[:0], a.head...), `delete"`...)
	m.data = r.plan.appendKey(m.data, m.before)
	m.emit(c, a, EventDelete)
}

// emit finishes m.data and appends it to every view of the audience.
func (m *matcher) emit(c *change.Change, a *indexedAudience, kind EventKind) {
	m.data = append(m.data, a.tail...)
	m.data = append(m.data, m.txTail...)
	for _, v := range a.views {
		m.index.add(v, kind, m.data, c.Position, m.commit)
	}
}

// truncate tells every audience of the tables to forget its rows.
func (m *matcher) truncate(c *change.Change) {
	for _, rel := range c.Truncated {
		for _, r := range m.rulesOf(rel) {
			for _, a := range r.audiences {
				m.reset(a, ReasonTruncate, c.Position)
			}
		}
	}
}

// messagePrefix marks logical messages that are events of a channel:
// pg_logical_emit_message(true, 'walrelay:<channel>', '<json>').
const messagePrefix = "walrelay:"

func (m *matcher) message(c *change.Change) {
	name, ok := strings.CutPrefix(string(c.Prefix), messagePrefix)
	if !ok {
		return
	}
	a := m.index.named[name]
	if a == nil {
		return
	}
	m.data = append(append(m.data[:0], a.head...), `message","data":`...)
	if json.Valid(c.Content) {
		m.data = appendCompact(m.data, c.Content)
	} else {
		m.data = change.AppendJSONString(m.data, c.Content)
	}
	m.emit(c, a, EventMessage)
}
