package snapshot

import (
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

func TestShapeIs(t *testing.T) {
	t.Parallel()
	const bigint, text = 20, 25
	rel := &change.Relation{Schema: "public", Name: "items", Columns: []change.Column{
		{Name: "id", Type: &change.Type{OID: bigint}}, {Name: "note", Type: &change.Type{OID: text}}}}
	table := func(columns []string, generated []bool, types ...uint32) *shape {
		return &shape{Kind: "r", Schema: "public", Name: "items", Columns: columns, Types: types, Generated: generated}
	}
	for _, test := range []struct {
		name string
		s    *shape
		want bool
	}{
		{"equal", table([]string{"id", "note"}, []bool{false, false}, bigint, text), true},
		{"generated columns that are not published", table([]string{"a", "id", "b", "note", "c"}, []bool{true, false, true, false, true}, text, bigint, text, text, text), true},
		{"a generated column that is published", table([]string{"id", "note"}, []bool{false, true}, bigint, text), true},
		{"another type", table([]string{"id", "note"}, []bool{false, false}, bigint, bigint), false},
		{"another order", table([]string{"note", "id"}, []bool{false, false}, text, bigint), false},
		{"one more", table([]string{"id", "note", "more"}, []bool{false, false, false}, bigint, text, text), false},
		{"one less", table([]string{"id"}, []bool{false}, bigint), false},
		{"none", table(nil, nil), false},
		{"another name", &shape{Schema: "public", Name: "item", Columns: []string{"id", "note"}, Types: []uint32{bigint, text}, Generated: []bool{false, false}}, false},
		{"another schema", &shape{Schema: "shop", Name: "items", Columns: []string{"id", "note"}, Types: []uint32{bigint, text}, Generated: []bool{false, false}}, false},
	} {
		if got := test.s.is(rel); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestQuerySQL(t *testing.T) {
	t.Parallel()
	rel := &change.Relation{Columns: []change.Column{{Name: "id"}, {Name: `a "b"`}}}
	s := &shape{Kind: "r", Schema: "S", Name: `x"; drop`}
	for _, test := range []struct {
		kind string
		q    channel.SnapshotQuery
		want string
	}{
		{"r", channel.SnapshotQuery{Relation: rel}, `select "id", "a ""b""" from only "S"."x""; drop"`},
		{"p", channel.SnapshotQuery{Relation: rel, Where: "a or b", Limit: 5}, `select "id", "a ""b""" from "S"."x""; drop" where (a or b) limit 5`},
	} {
		s.Kind = test.kind
		if got := querySQL(s, test.q); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// A mark is no message of a channel, whose prefix is 'walrelay:<channel>'.
func TestMarkPrefix(t *testing.T) {
	t.Parallel()
	if strings.HasPrefix(MarkPrefix, "walrelay:") {
		t.Error(MarkPrefix)
	}
}

func TestNewRefusesURL(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{URL: "postgres://:::"}); err == nil || !strings.Contains(err.Error(), "postgres.url") {
		t.Errorf("got %v", err)
	}
}
