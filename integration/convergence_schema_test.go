package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// convergenceTables are the tables, with every way in which a replica identity can carry
// what the rules read: FULL, an index, and a primary key.
var convergenceTables = []string{"orders", "tasks", "alerts", "messages"}

// convergenceSQL makes them, each with a journal that triggers write in the transaction of the
// change. Rolled back, the change leaves no trace in either.
func convergenceSQL() []string {
	sql := []string{
		"create type order_status as enum ('draft', 'open', 'paid', 'void')",
		`create table orders (id bigint primary key, customer_id bigint, team_id bigint, status order_status, total numeric, body text, deleted_at timestamptz);
		 alter table orders replica identity full; alter table orders alter body set storage external`,
		`create table tasks (id bigint primary key, org_id uuid not null, assignee_id bigint not null, state text not null, title text, body text);
		 create unique index tasks_identity on tasks (id, org_id, assignee_id, state);
		 alter table tasks replica identity using index tasks_identity; alter table tasks alter body set storage external`,
		`create table alerts (id bigint primary key, owner bigint, severity int, tags text[], meta jsonb, deleted_at timestamptz, note text);
		 alter table alerts replica identity full; alter table alerts alter note set storage external`,
		`create table messages (room_id bigint, id bigint, author bigint, body text, primary key (room_id, id)); alter table messages alter body set storage external`,
	}
	for _, table := range convergenceTables {
		sql = append(sql, fmt.Sprintf(`
			create table %[1]s_log (seq bigserial primary key, xid bigint not null default pg_current_xact_id()::text::bigint, op text not null, old %[1]s, new %[1]s);
			create function log_%[1]s() returns trigger language plpgsql as $$ begin
				if tg_level = 'STATEMENT' then insert into %[1]s_log (op) values ('truncate');
				else insert into %[1]s_log (op, old, new) values (lower(tg_op), old, new); end if;
				return null; end $$;
			create trigger log_row after insert or update or delete on %[1]s for each row execute function log_%[1]s();
			create trigger log_truncate after truncate on %[1]s for each statement execute function log_%[1]s()`, table))
	}
	return sql
}

// convergenceKeys are the primary keys.
var convergenceKeys = map[string][]string{"orders": {"id"}, "tasks": {"id"}, "alerts": {"id"}, "messages": {"room_id", "id"}}

// convergenceToast are the columns that may have values outside of the row.
var convergenceToast = map[string]string{"orders": "body", "tasks": "body", "alerts": "note", "messages": "body"}

const convergenceClaims = `claims: {id: bigint, teams: "bigint[]", role: text, org: uuid, tag: text, region: text, rooms: "bigint[]", min_total: numeric, level: bigint}
`

// convergenceUser is somebody, with what he has and has not.
type convergenceUser struct {
	ID, Level    *int64
	Teams, Rooms []int64 // nil: none is known
	Role, Org    *string
	Tag, Region  *string
	MinTotal     *string
}

var (
	convergenceOrgs    = []string{"6f1e8a52-0000-4000-8000-000000000001", "6f1e8a52-0000-4000-8000-000000000002", "6f1e8a52-0000-4000-8000-000000000003"}
	convergenceTags    = []string{"red", "green", "blau", "größe"}
	convergenceRegions = []string{"eu", "us", "日本"}
)

func randomUser(r *rand.Rand) *convergenceUser {
	u := &convergenceUser{
		ID:    maybe(r, 1+r.Int64N(8)),
		Level: maybe(r, r.Int64N(8)),
		Role:  maybe(r, pick(r, []string{"admin", "owner", "member", "guest"})),
		Org:   maybe(r, pick(r, convergenceOrgs)), Tag: maybe(r, pick(r, convergenceTags)), Region: maybe(r, pick(r, convergenceRegions)),
		MinTotal: maybe(r, fmt.Sprintf("%d.%02d", r.IntN(80), r.IntN(100))),
	}
	if r.IntN(7) > 0 {
		u.Teams = subset(r, 5)
	}
	if r.IntN(7) > 0 {
		u.Rooms = subset(r, convergenceRooms)
	}
	return u
}

// convergenceRooms is how many rooms there are.
const convergenceRooms = 4

// maybe is a value, or now and then none.
func maybe[T any](r *rand.Rand, v T) *T {
	if r.IntN(7) == 0 {
		return nil
	}
	return &v
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// subset are some of 1 to n, maybe none.
func subset(r *rand.Rand, n int) []int64 {
	out := []int64{}
	for i := range n {
		if r.IntN(2) == 0 {
			out = append(out, int64(i+1))
		}
	}
	return out
}

// claims is the user as JSON. What he has not is null, or missing.
func (u *convergenceUser) claims() string {
	m := map[string]any{"id": u.ID, "level": u.Level, "role": u.Role, "org": u.Org, "tag": u.Tag, "region": u.Region}
	if u.MinTotal != nil {
		m["min_total"] = json.Number(*u.MinTotal)
	}
	if u.Teams != nil {
		m["teams"] = u.Teams
	}
	if u.Rooms != nil {
		m["rooms"] = u.Rooms
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (u *convergenceUser) is(roles ...string) bool {
	return u.Role != nil && slices.Contains(roles, *u.Role)
}

// Literals of what a user has.
func sqlBigint(v *int64) string {
	if v == nil {
		return "null::bigint"
	}
	return strconv.FormatInt(*v, 10) + "::bigint"
}

func sqlText(v *string, typ string) string {
	if v == nil {
		return "null::" + typ
	}
	return "'" + *v + "'::" + typ
}

func sqlBigints(v []int64) string {
	if v == nil {
		return "null::bigint[]"
	}
	texts := make([]string, len(v))
	for i, n := range v {
		texts[i] = strconv.FormatInt(n, 10)
	}
	return "'{" + strings.Join(texts, ",") + "}'::bigint[]"
}

func sqlBool(v bool) string { return strconv.FormatBool(v) }

// convergenceChannel is a channel of the configuration, and what it means in SQL.
type convergenceChannel struct {
	name, table  string
	columns      []string // nil: all
	where, allow string
	// sql is the rule for a user over the row r, gate what it asks of the user alone; nil: nothing.
	sql      func(u *convergenceUser, param int64) string
	gate     func(u *convergenceUser, param int64) bool
	params   int64 // the parameter goes from 1 to this; 0: there is none
	snapshot bool
	public   bool
}

var convergenceChannels = []*convergenceChannel{
	{name: "orders", table: "orders", columns: []string{"id", "status", "total", "customer_id"}, snapshot: true,
		where: `row.status != "draft"`, allow: `row.customer_id == user.id || row.team_id in user.teams`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.status <> 'draft' and (r.customer_id = " + sqlBigint(u.ID) + " or r.team_id = any(" + sqlBigints(u.Teams) + "))"
		}},
	{name: "paid", table: "orders", public: true,
		where: `row.status == "paid" && row.deleted_at == null`, allow: `public`,
		sql: func(*convergenceUser, int64) string { return "r.status = 'paid' and r.deleted_at is null" }},
	{name: "large", table: "orders", columns: []string{"id", "total", "body"},
		allow: `row.team_id in user.teams && row.total >= user.min_total`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.team_id = any(" + sqlBigints(u.Teams) + ") and r.total >= " + sqlText(u.MinTotal, "numeric")
		}},
	{name: "customer/{who}", table: "orders", columns: []string{"id", "team_id", "body"}, params: 5, snapshot: true,
		where: `row.customer_id == params.who`, allow: `user.role == "admin" || row.team_id in user.teams`,
		sql: func(u *convergenceUser, who int64) string {
			return "r.customer_id = " + sqlBigint(&who) + " and (" + sqlBool(u.is("admin")) + " or r.team_id = any(" + sqlBigints(u.Teams) + "))"
		}},
	{name: "strange", table: "orders", columns: []string{"id", "deleted_at"},
		allow: `!(row.team_id in user.teams) || row.customer_id == null`,
		sql: func(u *convergenceUser, _ int64) string {
			return "not (r.team_id = any(" + sqlBigints(u.Teams) + ")) or r.customer_id is null"
		}},
	{name: "tasks", table: "tasks", columns: []string{"id", "title", "body"}, snapshot: true,
		allow: `row.org_id == user.org && (user.role in ["admin", "owner"] || row.assignee_id == user.id)`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.org_id = " + sqlText(u.Org, "uuid") + " and (" + sqlBool(u.is("admin", "owner")) + " or r.assignee_id = " + sqlBigint(u.ID) + ")"
		}},
	{name: "board", table: "tasks",
		where: `row.state != "hidden"`, allow: `row.org_id == user.org || row.state == "shared"`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.state <> 'hidden' and (r.org_id = " + sqlText(u.Org, "uuid") + " or r.state = 'shared')"
		}},
	{name: "alerts", table: "alerts", columns: []string{"id", "tags", "note"},
		where: `row.deleted_at == null`, allow: `user.tag in row.tags`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.deleted_at is null and " + sqlText(u.Tag, "text") + " = any(r.tags)"
		}},
	{name: "incidents", table: "alerts", columns: []string{"id", "meta", "severity"}, snapshot: true,
		allow: `text(row.meta.region) == user.region || user.role == "admin"`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.meta->>'region' = " + sqlText(u.Region, "text") + " or " + sqlBool(u.is("admin"))
		}},
	{name: "scan", table: "alerts", columns: []string{"id", "owner"}, snapshot: true,
		allow: `row.severity > user.level && row.owner != user.id`,
		sql: func(u *convergenceUser, _ int64) string {
			return "r.severity > " + sqlBigint(u.Level) + " and r.owner <> " + sqlBigint(u.ID)
		}},
	{name: "urgent", table: "alerts", public: true, snapshot: true,
		where: `row.severity >= 6`, allow: `public`,
		sql: func(*convergenceUser, int64) string { return "r.severity >= 6" }},
	{name: "room/{room}", table: "messages", columns: []string{"author", "body"}, params: convergenceRooms, snapshot: true,
		where: `row.room_id == params.room`, allow: `params.room in user.rooms`,
		sql:  func(_ *convergenceUser, room int64) string { return "r.room_id = " + sqlBigint(&room) },
		gate: func(u *convergenceUser, room int64) bool { return slices.Contains(u.Rooms, room) }},
	{name: "talk/{room}", table: "messages", params: convergenceRooms,
		where: `row.room_id == params.room`, allow: `true`,
		sql: func(_ *convergenceUser, room int64) string { return "r.room_id = " + sqlBigint(&room) }},
}

// convergenceConfig has them all.
func convergenceConfig() string {
	var b strings.Builder
	for _, c := range convergenceChannels {
		fmt.Fprintf(&b, "  %q:\n    table: public.%s\n", c.name, c.table)
		if c.columns != nil {
			fmt.Fprintf(&b, "    columns: [%s]\n", strings.Join(c.columns, ", "))
		}
		if c.where != "" {
			fmt.Fprintf(&b, "    where: '%s'\n", c.where)
		}
		if strings.Contains(c.allow, " ") {
			fmt.Fprintf(&b, "    allow: '%s'\n", c.allow)
		} else {
			fmt.Fprintf(&b, "    allow: %s\n", c.allow)
		}
		if c.snapshot {
			b.WriteString("    snapshot: {max_rows: 10000}\n")
		}
	}
	return convergenceClaims + settings{http: "heartbeat: 500ms", channels: b.String()}.yaml()
}

// keys are the columns of the primary key of its table.
func (c *convergenceChannel) keys() []string { return convergenceKeys[c.table] }

// concrete is the channel's name with a parameter.
func (c *convergenceChannel) concrete(param int64) string {
	name, _, ok := strings.Cut(c.name, "{")
	if ok {
		name += strconv.FormatInt(param, 10)
	}
	return name
}
