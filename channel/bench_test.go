package channel

import (
	"fmt"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// itemsRelation is the table of the program in bench/.
func itemsRelation() *change.Relation {
	text := &change.Type{OID: 25, Name: "text"}
	return &change.Relation{ID: 2, OID: 8, Schema: "public", Name: "items", Identity: 'd', Key: []int{0}, Columns: []change.Column{
		{Name: "id", Identity: true, Type: bigint()}, {Name: "user_id", Type: &change.Type{OID: 23, Name: "integer", Kind: change.KindInt}},
		{Name: "status", Type: text}, {Name: "price", Type: &change.Type{OID: 1700, Name: "numeric(10,2)", Kind: change.KindNumeric}},
		{Name: "payload", Type: text}, {Name: "updated_at", Type: &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}}}}
}

// BenchmarkLane: a batch of 1,000 rows from the log to the queues, per row, with 1 and
// with 1,000 subscribers of one channel.
func BenchmarkLane(b *testing.B) {
	const rows = 1000
	builder := change.NewBuilder(change.Position{}, 0)
	builder.Begin(change.Tx{Commit: 0x1000, XID: 771})
	for i := range rows {
		builder.Row(change.Insert, itemsRelationOnce, append([]byte{'N'}, tup(fmt.Sprint(i), "123", "open", "45.67",
			"row 1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "2026-11-20 21:00:00.123456+00")...), false)
	}
	batch := builder.Seal(time.Time{})
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := New(Options{Log: newMemLog(), Rules: []*Rule{ruled(b, itemsRelationOnce, Rule{Name: "items"}, "", "public")}, QueueBytes: 1 << 40})
			l := newLane(h, change.Position{})
			as, err := audiences(h.rules, Request{Channels: []string{"items"}})
			if err != nil {
				b.Fatal(err)
			}
			v := newView("", as, h.events.Bounds().Lineage)
			var subs []*Subscriber
			for range n {
				s := &Subscriber{hub: h, view: v, wake: make(chan struct{}, 1)}
				subs = append(subs, s)
				l.join(s)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += rows {
				l.move(change.Position{})
				if err := l.batch(batch); err != nil {
					b.Fatal(err)
				}
				for _, s := range subs {
					s.at, s.queue = change.Position{}, s.queue[:0]
				}
			}
		})
	}
}

var itemsRelationOnce = itemsRelation()
