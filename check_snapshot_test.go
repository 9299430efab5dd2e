package main

import (
	"fmt"
	"testing"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// Whether the snapshot of a channel is read by an index, and on which columns one would
// help.
func TestSnapshotAccess(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		where, allow string
		leading      string
		want         string // scans and the columns wanted
	}{
		{"", "public", "", "false []"},
		{"", "true", "", "false []"},
		{`row.status != "draft"`, "true", "", "false []"}, // the same for all
		{"", "row.a == user.id", "", "true [a]"},
		{"", "row.a == user.id", "a", "false []"},
		{"", "user.id == row.a", "a", "false []"},
		{"", "row.a in user.ids", "a", "false []"},
		{"", "user.id in row.tags", "tags", "true []"}, // = any of an array needs no btree
		{"", "row.a == row.b && user.id == 5", "a", "false []"},
		{"", "row.a == row.b && row.c > user.id", "a", "true []"},
		{"", "row.a > user.id", "a", "true []"},
		{"", "lower(row.a) == user.name", "a", "true []"},
		{"", "text(row.meta.a) == user.name", "meta", "true []"},
		{"", `row.a == user.id || user.role == "admin"`, "a", "false []"},
		{"", "row.a == user.id || row.b == user.id", "a", "true [b]"},
		{"", "row.a == user.id || row.b > user.id", "a", "true []"},
		{"", "row.a == user.id && row.b > user.id", "a", "false []"},
		{"", "row.a == user.id && (row.b == user.id || row.c == user.id)", "a", "false []"},
		{"row.p == params.p", "row.a == user.id || row.b == user.id", "p", "false []"},
		{"row.p == params.p", "row.a == user.id || row.b == user.id", "", "true [p]"},
		{`row.kind == "x"`, "row.a > user.id", "kind", "false []"},
		{`row.kind == "x"`, "row.a > user.id", "", "true [kind]"},
		{`row.kind == "x"`, "row.a == user.id", "", "true [a]"},
		{"", "!(row.a != user.id)", "a", "true []"}, // written in a way that nobody writes
	} {
		name := "c"
		if test.where == "row.p == params.p" {
			name = "c/{p}"
		}
		text := fmt.Sprintf("postgres: {url: postgres://app@db/shop}\nauth: [{anonymous: {}}]\nclaims: {id: bigint, ids: \"bigint[]\", name: text, role: text}\nchannels:\n  %s:\n    table: t\n    allow: %q\n", name, test.allow)
		if test.where != "" {
			text += fmt.Sprintf("    where: %q\n", test.where)
		}
		cfg, err := config.Parse("f", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		v := &channelView{cfg: cfg, c: &cfg.Channels[0], table: &replication.Table{}, shape: tableShape{Leading: []string{test.leading}}}
		scans, wanted := v.scans()
		if got := fmt.Sprint(scans, " ", wanted); got != test.want {
			t.Errorf("where %q, allow %q, index on %q: %s, want %s", test.where, test.allow, test.leading, got, test.want)
		}
	}
}

// Too many ways are not counted out.
func TestSnapshotAccessBound(t *testing.T) {
	t.Parallel()
	text := "postgres: {url: postgres://app@db/shop}\nauth: [{anonymous: {}}]\nclaims: {id: bigint}\nchannels:\n  c:\n    table: t\n    allow: row.x == user.id"
	for i := range 20 {
		text += fmt.Sprintf(" && (row.a%d == user.id || row.b%[1]d > user.id)", i)
	}
	cfg, err := config.Parse("f", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &channelView{cfg: cfg, c: &cfg.Channels[0], shape: tableShape{Leading: []string{"x"}}}
	if scans, _ := v.scans(); scans || len(v.accesses()) > mostAccesses {
		t.Errorf("scans %t, %d ways", scans, len(v.accesses()))
	}
}
