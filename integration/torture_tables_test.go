package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The tables under torture: whole old rows (items, wide, scratch) and only keys
// (notes, bulk); values that leave the row (notes.body); columns that come and go
// (wide); TRUNCATE (scratch); thousands of rows at once (bulk). Nobody subscribes to
// filler: it only fills the log.
const tortureTables = `
	create table items (id bigint primary key, room int not null, body text);
	alter table items alter body set storage external;
	alter table items replica identity full;
	create table notes (id bigint primary key, item bigint, body text);
	alter table notes alter body set storage external;
	create table wide (id bigint primary key, early text, room int not null, body text);
	alter table wide replica identity full;
	create table scratch (id bigint primary key, room int not null);
	alter table scratch replica identity full;
	create table bulk (id bigint primary key, part int, body text);
	create table filler (id bigserial primary key, body text)`

const tortureChannels = `
  items: {table: public.items, allow: public}
  "room/{room_id}": {table: public.items, columns: [id, body], where: row.room == params.room_id, allow: public}
  notes: {table: public.notes, allow: public}
  "note/{id}": {table: public.notes, columns: [body], where: row.id == params.id, allow: public}
  wide: {table: public.wide, allow: public}
  "hall/{room}": {table: public.wide, where: row.room == params.room, allow: public}
  scratch: {table: public.scratch, allow: public}
  "corner/{room}": {table: public.scratch, where: row.room == params.room, allow: public}
  bulk: {table: public.bulk, allow: public}
  filler: {table: public.filler, allow: public}
`

const (
	tortureRooms = 6
	tortureKeys  = 60 // rows of each small table that exist at a time, at most
	// tortureEvent is max_event_bytes.
	tortureEvent = 16 << 10
	// tortureLog is max_bytes: small enough to be passed in a round of its own, and
	// large enough that an ordinary round does not come near.
	tortureLog = 5 << 20
)

// tortureRules are the channels once more, for the harness's own account, in the
// order of the configuration.
var tortureRules = []*tortureRule{
	{prefix: "items", table: "items"},
	{prefix: "room/", table: "items", columns: []string{"id", "body"}, bound: "room", param: "room_id"},
	{prefix: "notes", table: "notes"},
	{prefix: "note/", table: "notes", columns: []string{"id", "body"}, bound: "id", param: "id"},
	{prefix: "wide", table: "wide"},
	{prefix: "hall/", table: "wide", bound: "room", param: "room"},
	{prefix: "scratch", table: "scratch"},
	{prefix: "corner/", table: "scratch", bound: "room", param: "room"},
	{prefix: "bulk", table: "bulk"},
}

// tortureRule is one configured channel, as the harness understands it.
type tortureRule struct {
	prefix  string // the name, or what stands before the parameter
	table   string
	columns []string // to send; nil: all
	bound   string   // the column that the parameter is bound to, or ""
	param   string   // its name
}

// ruleOfChannel finds the rule of a concrete channel.
func ruleOfChannel(name string) *tortureRule {
	for _, r := range tortureRules {
		if rest, ok := strings.CutPrefix(name, r.prefix); ok && (rest == "") == (r.bound == "") {
			return r
		}
	}
	return nil
}

// tortureEventOf is one event of one channel.
type tortureEventOf struct {
	channel string
	text    string // name and data, as a frame has them
}

// events are those of a change in every channel of the rule that it concerns, but for
// TRUNCATE, which concerns them all.
func (r *tortureRule) events(c *recorded) []tortureEventOf {
	before := c.before
	if c.op == "update" && before == nil { // the key is as it was, and nothing else is known of the row before
		before = map[string]string{"id": c.after["id"]}
	}
	was, is := r.channel(before), r.channel(c.after)
	switch {
	case was == is && was == "":
		return nil
	case was == is && before["id"] == c.after["id"]:
		return []tortureEventOf{{is, r.row("update", is, c, "unchanged")}}
	}
	var out []tortureEventOf
	if was != "" {
		out = append(out, tortureEventOf{was, fmt.Sprintf(`delete {"channel":%q,"op":"delete","key":{"id":%s}%s%s}`, was, before["id"], r.params(was), c.tx())})
	}
	if is != "" {
		out = append(out, tortureEventOf{is, r.row("insert", is, c, "missing")})
	}
	return out
}

// channel is the one that has the row, "" for none.
func (r *tortureRule) channel(row map[string]string) string {
	switch {
	case row == nil:
		return ""
	case r.bound == "":
		return r.prefix
	}
	value, ok := row[r.bound]
	if !ok {
		return ""
	}
	return r.prefix + value
}

func (r *tortureRule) params(channel string) string {
	if r.bound == "" {
		return ""
	}
	return fmt.Sprintf(`,"params":{%q:%s}`, r.param, strings.TrimPrefix(channel, r.prefix))
}

// row is an event with the whole row; absent names the member with the columns that
// the WAL did not carry.
func (r *tortureRule) row(op, channel string, c *recorded, absent string) string {
	var fields, gaps []string
	for _, column := range c.columns {
		if r.columns != nil && !slices.Contains(r.columns, column.name) {
			continue
		}
		value, ok := c.after[column.name]
		if old, known := c.before[column.name]; !ok && known && slices.Contains(c.unchanged, column.name) {
			value, ok = old, true // the old row has it whole
		}
		switch {
		case !ok && slices.Contains(c.unchanged, column.name):
			gaps = append(gaps, strconv.Quote(column.name))
			continue
		case !ok:
			value = "null"
		case column.text:
			value = strconv.Quote(value)
		}
		fields = append(fields, strconv.Quote(column.name)+":"+value)
	}
	body := fmt.Sprintf(`"row":{%s}`, strings.Join(fields, ","))
	if len(gaps) > 0 {
		body += fmt.Sprintf(`,%q:[%s]`, absent, strings.Join(gaps, ","))
	}
	if c.size > tortureEvent {
		body = `"row":null,"oversize":true`
	}
	return fmt.Sprintf(`%s {"channel":%q,"op":%q,"key":{"id":%s},%s%s%s}`, op, channel, op, c.after["id"], body, r.params(channel), c.tx())
}

// message is the event of a logical message.
func (r *tortureRule) message(channel string, c *recorded) string {
	return fmt.Sprintf(`message {"channel":%q,"op":"message","data":%s%s%s}`, channel, c.content, r.params(channel), c.tx())
}

func (c *recorded) tx() string {
	return fmt.Sprintf(`,"tx":{"xid":%d,"at":"%s"}`, c.xid, c.commit.UTC().Format("2006-01-02T15:04:05.000000+00:00"))
}
