package replication

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// catalogRows is a small catalog: built-in types with their real OIDs and user
// types from 20000 on. typesSQL itself is tested in package integration.
func catalogRows() map[uint32]*typeRow {
	rows := map[uint32]*typeRow{}
	for _, r := range []typeRow{
		{OID: 20, Name: "bigint", Type: "b", Delim: ","},
		{OID: 21, Name: "smallint", Type: "b", Delim: ","},
		{OID: 22, Name: "int2vector", Type: "b", Delim: ",", Elem: 21},
		{OID: 603, Name: "box", Type: "b", Delim: ";"},
		{OID: 1020, Name: "box[]", Type: "b", Delim: ",", Elem: 603},
		{OID: 1006, Name: "int2vector[]", Type: "b", Delim: ",", Elem: 22},
		{OID: 1016, Name: "bigint[]", Type: "b", Delim: ",", Elem: 20},
		{OID: 20000, Name: "public.mood", Type: "e", Delim: ",", Labels: []string{"sad", "ok"}},
		{OID: 20001, Name: "public.id", Type: "d", Delim: ",", Base: 20},
		{OID: 20002, Name: "public.order_id", Type: "d", Delim: ",", Base: 20001},
		{OID: 20003, Name: "public._order_id", Type: "b", Delim: ",", Elem: 20002},
		{OID: 20004, Name: "ext.hstore", Type: "b", Delim: ",", Hstore: true},
		{OID: 20005, Name: "public.boxes", Type: "d", Delim: ",", Base: 1020},
		{OID: 20006, Name: "public.line", Type: "c", Delim: ",", FieldNames: []string{"id", "moods", "gone"}, FieldTypes: []uint32{20002, 20007, 99999}},
		{OID: 20007, Name: "public._mood", Type: "b", Delim: ",", Elem: 20000},
		{OID: 20008, Name: "public.loop", Type: "c", Delim: ",", FieldNames: []string{"n", "loops"}, FieldTypes: []uint32{20, 20009}},
		{OID: 20009, Name: "public._loop", Type: "b", Delim: ",", Elem: 20008},
		{OID: 20010, Name: "public.empty", Type: "c", Delim: ","},
		{OID: 20011, Name: "public.spans", Type: "r", Delim: ","},
		{OID: 20012, Name: "public.dmood", Type: "d", Delim: ",", Base: 20000},
	} {
		rows[r.OID] = &r
	}
	return rows
}

func TestResolveTypes(t *testing.T) {
	bigint := &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}
	mood := &change.Type{OID: 20000, Name: "public.mood", Labels: []string{"sad", "ok"}}
	orderID := &change.Type{OID: 20002, Name: "public.order_id", Base: "bigint", Kind: change.KindInt}
	vector := &change.Type{OID: 22, Name: "int2vector", Kind: change.KindVector, Elem: &change.Type{OID: 21, Name: "smallint", Kind: change.KindInt}}
	box := &change.Type{OID: 603, Name: "box"}
	for _, want := range []*change.Type{
		bigint, mood, orderID, vector,
		{OID: 4, Name: "oid 4"},
		{OID: 1020, Name: "box[]", Kind: change.KindArray, Delim: ';', Elem: box},
		{OID: 1006, Name: "int2vector[]", Kind: change.KindArray, Delim: ',', Elem: vector},
		{OID: 20003, Name: "public.order_id[]", Kind: change.KindArray, Delim: ',', Elem: orderID},
		{OID: 20004, Name: "ext.hstore", Kind: change.KindHstore},
		{OID: 20005, Name: "public.boxes", Base: "box[]", Kind: change.KindArray, Delim: ';', Elem: box},
		{OID: 20006, Name: "public.line", Kind: change.KindComposite, Fields: []change.Field{
			{Name: "id", Type: orderID},
			{Name: "moods", Type: &change.Type{OID: 20007, Name: "public.mood[]", Kind: change.KindArray, Delim: ',', Elem: mood}},
			{Name: "gone", Type: &change.Type{OID: 99999, Name: "oid 99999"}},
		}},
		{OID: 20008, Name: "public.loop", Kind: change.KindComposite, Fields: []change.Field{
			{Name: "n", Type: bigint},
			{Name: "loops", Type: &change.Type{OID: 20009, Name: "public.loop[]", Kind: change.KindArray, Delim: ',', Elem: &change.Type{OID: 20008, Name: "public.loop"}}},
		}},
		{OID: 20010, Name: "public.empty", Kind: change.KindComposite},
		{OID: 20011, Name: "public.spans"},
		{OID: 20012, Name: "public.dmood", Base: "public.mood", Labels: []string{"sad", "ok"}},
	} {
		r := typeResolver{rows: catalogRows(), done: map[uint32]*change.Type{}}
		got := r.resolve(want.OID)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("type %d (-want +got):\n%s", want.OID, diff)
		}
		// The log stores types as JSON: that must come back the same.
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again *change.Type
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("type %d after JSON (-want +got):\n%s", want.OID, diff)
		}
	}
}

// noCatalog is a connection that is gone.
type noCatalog struct{}

func (noCatalog) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, errors.New("connection lost")
}

func TestTypeLoaderRemembersBuiltinTypes(t *testing.T) {
	r := typeResolver{rows: catalogRows(), done: map[uint32]*change.Type{}}
	r.resolve(20006)
	r.resolve(1020)
	var l typeLoader
	l.remember(r.done)
	got, err := l.load(t.Context(), noCatalog{}, []uint32{20, 1020, 603, 20})
	if err != nil || len(got) != 3 || got[1020].Elem != got[603] {
		t.Errorf("built-in types: got %v, error %v; want the three without a query", got, err)
	}
	_, err = l.load(t.Context(), noCatalog{}, []uint32{20, 20006})
	if err == nil || !strings.Contains(err.Error(), "read types from the catalog: connection lost") {
		t.Errorf("type of the user: got error %v, want one that names the operation and the cause", err)
	}
	if got, err := LoadTypes(t.Context(), noCatalog{}, nil); err != nil || len(got) != 0 {
		t.Errorf("no types: got %v, error %v", got, err)
	}
}
