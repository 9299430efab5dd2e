package channel

import (
	"bytes"
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
	// grown is index.grown when plans was begun.
	grown int

	change        *change.Change
	after, before []change.Value
	body          [3][]byte // of the change's insert, update and delete; empty: not made yet
	data          []byte
	// made: data is the event of madeKind that the audiences of the rule share.
	made     bool
	madeKind EventKind
	// loaded are the rules that have a row, or had one since release.
	loaded []*indexedRule
	// suspended are the rules that could not judge a change of the batch.
	suspended []*indexedRule

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
	// told: an unreadable value has been logged.
	told bool
}

// maxPlans bounds the cache of plans; relation versions are few, so it is only
// reached by tables that are altered all the time.
const maxPlans = 4096

func (m *matcher) rulesOf(rel *change.Relation) []*boundRule {
	if m.grown != m.index.grown || len(m.plans) >= maxPlans {
		m.grown = m.index.grown
		clear(m.plans)
	}
	if rs, ok := m.plans[rel]; ok {
		return rs
	}
	var rs []*boundRule
	for _, ir := range m.index.tables[tableKey(rel.Schema, rel.Name)] {
		p := newPlan(ir.rule, rel)
		if p.broken != "" {
			m.hub.log.Error("channel suspended: its clients get reset instead of rows", "channel", ir.rule.Name, "cause", p.broken,
				"fix", "restore the table or change channels."+ir.rule.Name+" in the configuration and reload it")
		}
		rs = append(rs, &boundRule{indexedRule: ir, plan: p})
	}
	m.plans[rel] = rs
	return rs
}

// match matches one change. An error means that the row cannot be read: the lane
// must not go on as if it had not been there.
func (m *matcher) match(c *change.Change) error {
	m.change = c
	if c.Tx != m.tx || len(m.txTail) == 0 {
		m.tx, m.commit = c.Tx, c.Tx.At()
		m.txTail = append(appendTx(m.txTail[:0], c.Tx), '}')
	}
	switch c.Op {
	case change.Truncate:
		m.truncate()
	case change.Message:
		m.message()
	default:
		return m.row()
	}
	return nil
}

func (m *matcher) row() error {
	decoded := false
	for _, r := range m.rulesOf(m.change.Relation) {
		if len(r.audiences) == 0 {
			continue
		}
		if r.plan.broken != "" {
			m.suspend(r.indexedRule)
			continue
		}
		if !decoded {
			var err error
			if m.after, m.before, err = m.change.Images(m.after, m.before); err != nil {
				return err
			}
			decoded = true
		}
		m.judge(r)
	}
	return nil
}

// judge sends the row to the audiences of a rule.
func (m *matcher) judge(r *boundRule) {
	if m.change.Oversize && (r.plan.layout.Blind(m.after) || r.plan.layout.Blind(m.before)) {
		m.suspend(r.indexedRule)
		return
	}
	if !r.loaded {
		r.loaded, m.loaded = true, append(m.loaded, r.indexedRule)
	}
	if r.find(r.plan.layout, m.before, m.after) {
		if !r.told {
			r.told = true
			m.hub.log.Error("a value that the channel's rule reads is not one of its type: clients get reset instead of rows that have such values",
				"channel", r.rule.Name, "table", r.rule.table(), "at", m.change.Position.String(), "fix", "please report this as a bug, with the type of the column")
		}
		m.suspend(r.indexedRule)
		return
	}
	m.body[EventInsert], m.body[EventUpdate], m.body[EventDelete] = m.body[EventInsert][:0], m.body[EventUpdate][:0], m.body[EventDelete][:0]
	m.made = false
	m.tell(r)
}

// tell sends each audience the change from its point of view: a row that enters is an
// insert, one that leaves is a delete with the key only, and a changed key is both.
func (m *matcher) tell(r *boundRule) {
	moved := m.change.Op == change.Update && !r.plan.sameKey(m.before, m.after)
	for _, a := range r.found[oldImage] {
		if a.met[newImage] != r.matched || moved {
			m.emit(r, a, EventDelete)
		}
	}
	for _, a := range r.found[newImage] {
		if a.met[oldImage] != r.matched || moved {
			m.emit(r, a, EventInsert)
		} else {
			m.emit(r, a, EventUpdate)
		}
	}
}

// emit appends the event to every view of the audience.
func (m *matcher) emit(r *boundRule, a *indexedAudience, kind EventKind) {
	if a.gate.holds(m.change) {
		return
	}
	// With parameters an audience has data of its own. Without, what all of them share is not
	// looked for in each: there may be very many.
	if r.rule.naming == nil || !m.made || m.madeKind != kind {
		m.made, m.madeKind = true, kind
		m.data = append(append(m.data[:0], a.head...), eventNames[kind]...)
		m.data = append(append(m.data, '"'), m.bodyOf(r, kind)...)
		m.data = append(m.data, a.tail...)
		m.data = append(m.data, m.txTail...)
	}
	m.send(a, kind, m.change.Position)
}

// send appends data to every view of the audience.
func (m *matcher) send(a *indexedAudience, kind EventKind, at change.Position) {
	for _, v := range a.views {
		m.index.add(v.riddenView, kind, m.data, at, m.commit)
	}
}

// bodyOf is the part of the event that all audiences share: the key, and the row unless it leaves,
// of which only the key is sent and nothing of its new image.
func (m *matcher) bodyOf(r *boundRule, kind EventKind) []byte {
	b := m.body[kind]
	if len(b) > 0 {
		return b
	}
	switch kind {
	case EventDelete:
		b = r.plan.appendKey(b, m.before)
	case EventUpdate:
		b = m.appendRow(r.plan.appendKey(b, m.after), r, "unchanged")
	default:
		b = m.appendRow(r.plan.appendKey(b, m.after), r, "missing")
	}
	m.body[kind] = b
	return b
}

// appendRow appends the row, or says that it is too large.
func (m *matcher) appendRow(dst []byte, r *boundRule, absent string) []byte {
	if m.change.Oversize {
		return append(dst, `,"row":null,"oversize":true`...)
	}
	return r.plan.appendRow(dst, m.after, absent)
}

// suspend resets the audiences of a rule that cannot judge a change: fail closed, but
// say so. The reset stands at the change's own position, so that whoever has an id
// behind the change has the reset too.
func (m *matcher) suspend(r *indexedRule) {
	m.hub.stats.undecided.Add(1)
	if r.suspended++; r.suspended > 1 && !m.index.bare {
		return
	}
	if r.suspended == 1 {
		m.suspended = append(m.suspended, r)
	}
	for _, a := range r.audiences {
		if a.gate.holds(m.change) {
			continue
		}
		m.reset(a, ReasonGap, m.change.Position)
	}
}

// endBatch resets once more, behind everything else, those who were suspended more
// than once in the batch.
func (m *matcher) endBatch(last change.Position) {
	for i, r := range m.suspended {
		if r.suspended > 1 {
			for _, a := range r.audiences {
				m.reset(a, ReasonGap, last)
			}
		}
		r.suspended, m.suspended[i] = 0, nil
	}
	m.suspended = m.suspended[:0]
}

// reset tells an audience to forget its rows. Where the channel sends snapshots, its
// views get nothing more of the batch: they need one.
func (m *matcher) reset(a *indexedAudience, reason Reason, at change.Position) {
	if a.rule.Snapshot == 0 {
		m.sendReset(a, reason, at)
		return
	}
	m.hub.stats.reset(reason)
	for _, v := range a.views {
		m.index.cutOff(v.riddenView, a.audience, reason, at)
	}
}

// sendReset sends the reset alone.
func (m *matcher) sendReset(a *indexedAudience, reason Reason, at change.Position) {
	m.hub.stats.reset(reason)
	m.data = appendReset(m.data[:0], a.name, reason)
	m.send(a, EventReset, at)
}

// truncate tells every audience of the tables to forget its rows. Of a table that has just
// become empty the snapshot is known.
func (m *matcher) truncate() {
	for _, rel := range m.change.Truncated {
		for _, r := range m.rulesOf(rel) {
			for _, a := range r.audiences {
				if a.gate.holds(m.change) {
					continue
				}
				m.sendReset(a, ReasonTruncate, m.change.Position)
				if r.rule.Snapshot > 0 {
					m.data = appendSnapshot(m.data[:0], a.name, nil, true, true)
					m.send(a, EventSnapshot, m.change.Position)
				}
			}
		}
	}
}

// messagePrefix marks logical messages that are events of a channel:
// pg_logical_emit_message(true, 'walrelay:<channel>', '<json>').
const messagePrefix = "walrelay:"

// message sends a logical message to the channel that it names. All audiences of a concrete channel get
// the same bytes, but around a reload: the rules before and after may call its parameters differently.
func (m *matcher) message() {
	name, ok := strings.CutPrefix(string(m.change.Prefix), messagePrefix)
	if !ok {
		return
	}
	var made *naming
	for _, a := range m.index.named[name] {
		if a.gate.holds(m.change) {
			continue
		}
		if made == nil || !bytes.Equal(made.tail, a.tail) {
			made = a.naming
			m.data = append(append(m.data[:0], a.head...), `message","data":`...)
			m.data = appendContent(m.data, m.change.Content)
			m.data = append(append(m.data, a.tail...), m.txTail...)
		}
		m.send(a, EventMessage, m.change.Position)
	}
}

// appendContent appends a message's content as JSON, in one line.
func appendContent(dst, content []byte) []byte {
	if json.Valid(content) {
		return appendCompact(dst, content)
	}
	return change.AppendJSONString(dst, content)
}
