package channel

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// filterRelation is the table of the three filters of which docs/performance.md has figures.
func filterRelation() *change.Relation {
	text := &change.Type{OID: 25, Name: "text"}
	uuid := &change.Type{OID: 2950, Name: "uuid"}
	column := func(name string, t *change.Type) change.Column {
		return change.Column{Name: name, Identity: true, Type: t}
	}
	return &change.Relation{ID: 3, OID: 9, Schema: "public", Name: "orders", Identity: 'f', Key: []int{0}, Columns: []change.Column{
		column("id", bigint()), column("status", text), column("customer_id", bigint()), column("team_id", bigint()), column("org_id", uuid),
		column("deleted_at", &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}),
		column("total", &change.Type{OID: 1700, Name: "numeric", Kind: change.KindNumeric}),
		column("tags", &change.Type{OID: 1009, Name: "text[]", Kind: change.KindArray, Delim: ',', Elem: text})}}
}

// The three filters, and one that nothing can be looked up for.
var benchFilters = []struct{ name, where, allow string }{
	{"F1", "", "row.customer_id == user.id"},
	{"F2", `row.status != "draft"`, "row.customer_id == user.id || row.team_id in user.teams"},
	{"F3", "", `row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`},
	{"F5", "", "row.total > user.limit && row.customer_id != user.id"},
}

var benchClaims = []string{"id bigint", "teams bigint[]", "org uuid", "role text", "tag text", "limit numeric"}

// benchUser is user i of n: of a team of 30 or so, of an organisation of 100, one in 100 an admin.
func benchUser(t testing.TB, declared []filter.Claim, i int) *filter.Claims {
	role := "member"
	if i%100 == 0 {
		role = "admin"
	}
	return userOf(t, declared, fmt.Sprintf(`{"id":%d,"teams":[%d,%d],"org":"%s","role":%q,"tag":"t%d","limit":%d}`,
		i, i/30, 1_000_000+i/30, orgOf(i), role, i%1000, 100+i%900))
}

func orgOf(i int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", i/100) }

// benchRow is a row of user i.
func benchRow(i int) []change.Value {
	var row []change.Value
	for _, text := range []string{fmt.Sprint(1000 + i), "paid", fmt.Sprint(i), fmt.Sprint(i / 30), orgOf(i), "", "512.50", fmt.Sprintf("{t%d,urgent}", i%1000)} {
		row = append(row, change.Value{Kind: change.Text, Text: []byte(text)})
	}
	row[5] = change.Value{Kind: change.Null}
	return row
}

// BenchmarkIndex: who a row belongs to, for one row image with so many users, and what an
// audience takes in memory. The rows are those of so many users: of few, what the index has of them
// stays in the processor's caches; of many it does not.
func BenchmarkIndex(b *testing.B) {
	claims := claimsOf(b, benchClaims...)
	for _, f := range benchFilters {
		for _, users := range []int{10, 1000, 100_000} {
			if f.name == "F5" && users == 100_000 {
				continue // milliseconds a row, and beyond max_scan_audiences
			}
			b.Run(fmt.Sprintf("%s/%d", f.name, users), func(b *testing.B) {
				rel := filterRelation()
				rule := ruled(b, rel, Rule{Name: "orders"}, f.where, f.allow, claims...)
				rule.prepare()
				before := heap()
				x := filled(b, rule, claims, users)
				bytes := float64(heap()-before) / float64(users)
				for _, rows := range []int{64, 8192} {
					if rows == 8192 && users < rows {
						continue
					}
					b.Run(fmt.Sprintf("rows%d", rows), func(b *testing.B) {
						benchmarkFind(b, x.rule(rule), newPlan(rule, rel).layout, users, rows)
						b.ReportMetric(bytes, "B/audience")
					})
				}
			})
		}
	}
}

func benchmarkFind(b *testing.B, ir *indexedRule, l *filter.Layout, users, rows int) {
	images := make([][]change.Value, rows)
	for i := range images {
		images[i] = benchRow(i * 7919 % users)
	}
	found := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ir.find(l, nil, images[i%len(images)])
		found += len(ir.found[newImage])
	}
	b.ReportMetric(float64(found)/float64(b.N), "matches")
}

// filled is an index with n users.
func filled(b *testing.B, rule *Rule, claims []filter.Claim, n int) *index {
	b.Helper()
	x := newIndex()
	for i := range n {
		a, err := newAudience(rule, "orders", benchUser(b, claims, i), nil)
		if err != nil {
			b.Fatal(err)
		}
		x.audience(a)
	}
	return x
}

// BenchmarkJoinLeave: one more user comes and goes among so many.
func BenchmarkJoinLeave(b *testing.B) {
	claims := claimsOf(b, benchClaims...)
	for _, f := range benchFilters[:3] {
		for _, n := range []int{10, 1000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", f.name, n), func(b *testing.B) {
				rule := ruled(b, filterRelation(), Rule{Name: "orders"}, f.where, f.allow, claims...)
				rule.prepare()
				x := filled(b, rule, claims, n)
				users := make([]*filter.Claims, 64)
				for i := range users {
					users[i] = benchUser(b, claims, n+i)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					a, err := newAudience(rule, "orders", users[i%len(users)], nil)
					if err != nil {
						b.Fatal(err)
					}
					s := &Subscriber{view: &view{audiences: []*audience{a}}}
					x.join(s)
					x.leave(s)
				}
			})
		}
	}
}

// BenchmarkUpdate: an UPDATE that the rules can tell from what was before, up to the frames, with so
// many users, each with a stream, and what a stream takes in memory with its user's claims, without its
// connection.
func BenchmarkUpdate(b *testing.B) {
	claims := claimsOf(b, benchClaims...)
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			before := heap()
			rel := filterRelation()
			rule := ruled(b, rel, Rule{Name: "orders"}, "", benchFilters[0].allow, claims...)
			h := New(Options{Log: newMemLog(), Rules: []*Rule{rule}, QueueBytes: 1 << 40})
			l := newLane(h, change.Position{})
			subs := make([]*Subscriber, n)
			for i := range subs {
				request := Request{Channels: []string{"orders"}, User: benchUser(b, claims, i)}
				as, err := audiences(h.rules, request)
				if err != nil {
					b.Fatal(err)
				}
				lineage := h.events.Bounds().Lineage
				subs[i] = &Subscriber{hub: h, channels: keptNames(request.Channels, as), user: request.User, view: newView(viewKey(as, lineage.Generation), as, lineage), wake: make(chan struct{}, 1)}
				l.join(subs[i])
			}
			bytes := float64(heap()-before) / float64(n)
			batch := updates(rel, n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += batch.Changes {
				l.move(change.Position{})
				if err := l.batch(batch); err != nil {
					b.Fatal(err)
				}
				for i := range batch.Changes {
					s := subs[i*7919%n]
					s.at, s.queue, s.queued = change.Position{}, s.queue[:0], 0
				}
			}
			b.ReportMetric(bytes, "B/subscriber")
		})
	}
}

// updates is a batch of 1,000 updates of rows of n users, each of the total.
func updates(rel *change.Relation, n int) *change.Batch {
	builder := change.NewBuilder(change.Position{}, 0)
	builder.Begin(change.Tx{Commit: 0x1000, XID: 771})
	for i := range 1000 {
		user := i * 7919 % n
		old := tup(fmt.Sprint(i), "paid", fmt.Sprint(user), "1", orgOf(user), "2026-11-20 21:00:00+00", "1.50", "{a,b}")
		is := tup(fmt.Sprint(i), "paid", fmt.Sprint(user), "1", orgOf(user), "2026-11-20 21:00:00+00", "2.50", "{a,b}")
		builder.Row(change.Update, rel, append(append(append([]byte{'O'}, old...), 'N'), is...), false)
	}
	return builder.Seal(time.Time{})
}

// heap is what lives after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
