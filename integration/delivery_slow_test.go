package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Clients that hang while many megabytes flow cost a bounded amount of memory and
// nobody else's time, and get everything once they read on.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const slow, rounds, rows = 6, 24, 50 // times 8 kB: 10 MB for each client
	db := newDatabase(t, itemsTable, "create table bulk (id bigint primary key, part int, body text)",
		"alter table bulk alter body set storage external", "alter table bulk replica identity full")
	r := startRelay(t, db, settings{http: "heartbeat: 500ms, limits: {queue: 256KiB}", channels: itemsChannels + `
  bulk: {table: public.bulk, allow: public}
  "part/{part}": {table: public.bulk, columns: [id], where: row.part == params.part, allow: public}
`}.yaml())
	fast := openSSE(t, r.streamURL("items"), nil)
	fast.nextReady(t)
	clients := make([]*sse, slow)
	for i := range clients {
		// Every client has a view of its own, so that nothing is shared between them.
		clients[i] = openSlowSSE(t, r.streamURL("bulk", fmt.Sprintf("part/%d", 100+i)), nil)
		clients[i].nextReady(t)
		clients[i].pause()
	}
	memory := func() float64 { return r.metric(t, "go_memstats_heap_inuse_bytes") }
	before, most := memory(), 0.0
	var delays []time.Duration
	for round := range rounds {
		db.exec(t, fmt.Sprintf("insert into bulk select n, 1, repeat(md5(n::text), 250) from generate_series(%d, %d) n", round*rows, (round+1)*rows-1))
		began := time.Now()
		db.exec(t, insertItem(round))
		fast.wantRow(t, "insert", "items", round)
		delays = append(delays, time.Since(began))
		most = max(most, memory())
	}
	slices.Sort(delays)
	t.Logf("heap %.0f MB before, %.0f MB at most; others waited %v in the middle, %v at most", before/1e6, most/1e6, delays[len(delays)/2], delays[len(delays)-1])
	if n := r.metric(t, "walrelay_queue_overflows_total"); n < slow {
		t.Errorf("%v queues overflowed, want all %d", n, slow)
	}
	// The log keeps what is recent in memory, once for all: that is the base. What
	// the clients have not read would be six times 10 MB.
	if bound := before + 45e6; most > bound {
		t.Errorf("the heap grew to %.0f MB", most/1e6)
	}
	if longest := delays[len(delays)-1]; longest > 5*time.Second {
		t.Errorf("another client waited %v", longest)
	}
	target := db.mark(t)
	for _, s := range clients {
		s.resume()
	}
	for i, s := range clients {
		var got []int
		for _, f := range s.waitComplete(t, target) {
			if f.event == "insert" && strings.HasPrefix(f.data, `{"channel":"bulk"`) {
				got = append(got, idOf(eventOf(t, f)))
			}
		}
		if len(got) != rounds*rows || !slices.IsSorted(got) || len(slices.Compact(got)) != rounds*rows {
			t.Errorf("client %d: %d rows, want %d, each once", i, len(got), rounds*rows)
		}
	}
	if n := r.metric(t, "walrelay_resets_total"); n != 0 {
		t.Errorf("%v resets", n)
	}
}
