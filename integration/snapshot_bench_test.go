package integration

import (
	"context"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/snapshot"
)

// BenchmarkSnapshot takes a snapshot and reads no row, and as many as a channel's
// max_rows is by default.
func BenchmarkSnapshot(b *testing.B) {
	db := newDatabase(b, "create table items (id int primary key, name text, at timestamptz default now(), n numeric default 12.50)",
		"insert into items select i, 'item ' || i from generate_series(1, 10000) i")
	r, err := snapshot.New(snapshot.Options{URL: db.url()})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	q := channel.SnapshotQuery{Relation: db.relation(b, "items")}
	for name, where := range map[string]string{"none": "id < 0", "10000": ""} {
		q.Where = where
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := readOnce(b.Context(), r, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readOnce(ctx context.Context, r *snapshot.Reader, q channel.SnapshotQuery) error {
	s, err := r.Begin(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Read(ctx, q, func([]change.Value) error { return nil })
}
