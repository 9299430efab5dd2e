package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// journal is what the triggers wrote of a table: the changes in the order in which each
// transaction made them.
type journal struct {
	images map[int64]*journalEntry
}

type journalEntry struct {
	seq      int64
	xid      uint32
	op       string
	old, new seenRow
}

func readJournal(t testing.TB, db *database, table string) *journal {
	t.Helper()
	j := &journal{images: map[int64]*journalEntry{}}
	rows, err := db.conn(t).Query(t.Context(), fmt.Sprintf("select seq, xid, op, to_jsonb(old)::text, to_jsonb(new)::text from %s_log", table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		e := &journalEntry{}
		var before, after *string
		if err := rows.Scan(&e.seq, &e.xid, &e.op, &before, &after); err != nil {
			t.Fatal(err)
		}
		if before != nil && e.op != "insert" {
			e.old = rowOf(t, []byte(*before))
		}
		if after != nil && e.op != "delete" {
			e.new = rowOf(t, []byte(*after))
		}
		j.images[e.seq] = e
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return j
}

// due is an event that an audience must get, once.
type due struct {
	op       string
	key      string
	old, new seenRow // as the rule's columns; old nil: not known to the audience
}

// dues are those of an audience, by transaction, in order; visible are the rows that it may ever
// have seen. Postgres judges, by the rule's SQL over the rows as the triggers saw them.
type dues struct {
	by      map[uint32][]due
	visible map[string]bool
}

func (c *convergence) duesOf(t testing.TB, a audienceKey) *dues {
	t.Helper()
	j := c.journals[a.channel.table]
	query := fmt.Sprintf(`select seq, was, is_ from (select l.seq,
		l.op in ('update', 'delete') and coalesce((select (%[2]s) from (select (l.old).*) r), false) was,
		l.op in ('insert', 'update') and coalesce((select (%[2]s) from (select (l.new).*) r), false) is_ from %[1]s_log l) x where was or is_ order by seq`, a.channel.table, a.where())
	rows, err := c.conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := &dues{by: map[uint32][]due{}, visible: map[string]bool{}}
	for rows.Next() {
		var seq int64
		var was, is bool
		if err := rows.Scan(&seq, &was, &is); err != nil {
			t.Fatal(err)
		}
		out.add(a.channel, j.images[seq], was, is)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return out
}

// add appends what a change means to an audience, as design/filter.md, section 5.3, has it.
func (d *dues) add(c *convergenceChannel, e *journalEntry, was, is bool) {
	before, after := e.old.only(c.keys()...).String(), e.new.only(c.keys()...).String()
	full := e.new.only(c.sent()...)
	if is {
		d.visible[full.String()] = true
	}
	gone := due{op: "delete", key: before}
	entered := due{op: "insert", key: after, old: e.old.only(c.sent()...), new: full}
	switch {
	case was && is && before != after:
		d.by[e.xid] = append(d.by[e.xid], gone, entered)
	case was && is:
		entered.op = "update"
		d.by[e.xid] = append(d.by[e.xid], entered)
	case was:
		d.by[e.xid] = append(d.by[e.xid], gone)
	case is:
		d.by[e.xid] = append(d.by[e.xid], entered)
	}
}

// sent are the columns that the channel sends; nil: all.
func (c *convergenceChannel) sent() []string {
	if c.columns == nil {
		return nil
	}
	return append(slices.Clone(c.keys()), c.columns...)
}

// is says what is wrong with an event that should be this one.
func (d due) differs(c *convergenceChannel, e rowEvent) string {
	switch {
	case d.op != e.Op || d.key != e.Key.String():
		return fmt.Sprintf("%s %s was due", d.op, d.key)
	case e.Op == "delete" && (e.Row != nil || e.Missing != nil || e.Unchanged != nil):
		return "a delete with more than the key"
	case e.Op == "insert" && e.Unchanged != nil || e.Op == "update" && e.Missing != nil:
		return "unchanged is for updates, missing for inserts"
	case e.Op == "delete":
		return ""
	}
	absent := slices.Concat(e.Unchanged, e.Missing)
	full := maps.Clone(e.Row)
	for _, name := range absent {
		if name != convergenceToast[c.table] || c.table == "orders" || c.table == "alerts" { // FULL carries all
			return "it does not have column " + name
		}
		if _, has := full[name]; has || d.old[name] != d.new[name] {
			return "column " + name + " is not unchanged"
		}
		full[name] = d.new[name]
	}
	if !maps.Equal(full, d.new) {
		return fmt.Sprintf("the row was %.500s", d.new)
	}
	return ""
}

// audit compares what a client got in a span with what was due: nothing else, each once,
// in order, whole transactions, and from the span's first id on all of them.
func (c *convergence) audit(t *testing.T, s *span, d *dues) {
	t.Helper()
	next := map[uint32]int{}
	for i, e := range s.events {
		list := d.by[e.XID]
		n, again := next[e.XID]
		for !again && len(next) == 0 && !s.exact && n < len(list)-1 && list[n].differs(s.audience.channel, e) != "" {
			n++ // without a snapshot, a span may begin in the middle of a transaction
		}
		if n >= len(list) {
			t.Errorf("%s: event %d of transaction %d was not due at all, or again: %s", s.audience, i, e.XID, e)
			return
		}
		if wrong := list[n].differs(s.audience.channel, e); wrong != "" {
			t.Errorf("%s: event %d of transaction %d: %s: %s", s.audience, i, e.XID, wrong, e)
			return
		}
		next[e.XID] = n + 1
		c.audited++
	}
	for xid, list := range d.by {
		at, known := c.commits[xid]
		if !known {
			t.Fatalf("transaction %d is in the journal and not in the WAL", xid)
		}
		first, last := change.Position{Commit: at}, change.Position{Commit: at + 1}
		inside := s.begun && s.from.Less(first) && last.Compare(s.to) <= 0
		if n := next[xid]; n < len(list) && (inside || n > 0 && last.Compare(s.to) <= 0 && !first.Less(s.from)) {
			t.Errorf("%s: from %v to %v, %d of the %d events of transaction %d at %v came", s.audience, s.from, s.to, n, len(list), xid, at)
			return
		}
	}
}

// auditLoose looks at events that were lost with their connection, before an id made them
// sure: they too must have been due.
func (c *convergence) auditLoose(t *testing.T, s *span, d *dues) {
	t.Helper()
	for _, e := range s.events {
		c.audited++
		if !slices.ContainsFunc(d.by[e.XID], func(due due) bool { return due.differs(s.audience.channel, e) == "" }) {
			t.Errorf("%s: an event of transaction %d that was not due: %s", s.audience, e.XID, e)
		}
	}
}

// auditAll is the end of the test: everything that anybody ever got.
func (c *convergence) auditAll(t *testing.T) {
	t.Helper()
	c.journals = map[string]*journal{}
	for _, table := range convergenceTables {
		c.journals[table] = readJournal(t, c.db, table)
	}
	c.commits = map[uint32]change.LSN{}
	for _, r := range c.oracle.read(t) {
		c.commits[r.xid] = r.at.Commit
	}
	for _, client := range c.clients {
		c.ended = slices.AppendSeq(c.ended, maps.Values(client.spans))
	}
	of := map[string]*dues{}
	get := func(a audienceKey) *dues {
		if of[a.String()] == nil {
			of[a.String()] = c.duesOf(t, a)
		}
		return of[a.String()]
	}
	for _, s := range c.ended {
		c.audit(t, s, get(s.audience))
	}
	for i := range c.loose {
		if s := &c.loose[i]; len(s.events) > 0 {
			c.auditLoose(t, s, get(s.audience))
		}
	}
	for key, rows := range c.snapshotted {
		d := of[key]
		if d == nil {
			t.Fatalf("nobody has %s", key)
		}
		for row := range rows {
			if !d.visible[row] {
				t.Errorf("%s: a snapshot had a row that it may never have seen: %.400s", key, row)
			}
		}
	}
}

func (e rowEvent) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s%.500s unchanged %q missing %q", e.Op, e.Key, e.Row.String(), e.Unchanged, e.Missing))
}
