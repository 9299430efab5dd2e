package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// round is one consumption of the same WAL by both.
type round struct {
	reference, relay time.Duration
	cpu              float64 // seconds of walrelay
	mallocs          float64
	peakRSS          int64 // bytes
}

// ingest loads rows with sql and lets pg_recvlogical and walrelay consume them in
// turn, each from its own copy of one slot.
func (l *lab) ingest(ctx context.Context, name string, rows int, sql string) error {
	end, err := l.load(ctx, sql)
	if err != nil {
		return fmt.Errorf("%s: load: %w", name, err)
	}
	defer func() {
		_ = l.cluster.Exec(context.WithoutCancel(ctx), `select pg_drop_replication_slot('base')`) // the cluster goes anyway
	}()
	var rounds []round
	for range l.rounds {
		var r round
		if r.reference, err = l.recvlogical(ctx, end); err != nil {
			return fmt.Errorf("%s: pg_recvlogical: %w", name, err)
		}
		if err := l.relay(ctx, rows, &r); err != nil {
			return fmt.Errorf("%s: walrelay: %w", name, err)
		}
		rounds = append(rounds, r)
	}
	report(name, rows, rounds)
	return nil
}

func report(name string, rows int, rounds []round) {
	var ratio, relay, reference, cpu, mallocs []float64
	var peak []int64
	n := float64(rows)
	for _, r := range rounds {
		ratio = append(ratio, r.reference.Seconds()/r.relay.Seconds())
		relay = append(relay, n/r.relay.Seconds())
		reference = append(reference, n/r.reference.Seconds())
		cpu = append(cpu, r.cpu/n*1e6)
		mallocs = append(mallocs, r.mallocs/n)
		peak = append(peak, r.peakRSS)
	}
	fmt.Printf("%-6s %9d rows  x%.2f of pg_recvlogical (%.0f against %.0f rows/s)  %.2f us CPU/row  %.3f allocations/row  peak RSS %.0f MB\n",
		name, rows, median(ratio), median(relay), median(reference), median(cpu), median(mallocs), float64(median(peak))/1e6)
}

// load makes the slot, then the WAL, and returns its end.
func (l *lab) load(ctx context.Context, sql string) (end string, err error) {
	if err := l.cluster.Exec(ctx, `truncate items`, `select pg_create_logical_replication_slot('base', 'pgoutput')`, sql); err != nil {
		return "", err
	}
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `select pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, `select pg_logical_emit_message(true, 'end', '')`)
	if err == nil {
		_, err = conn.Exec(ctx, `checkpoint`)
	}
	return end, err
}

// copySlot gives a consumer its own copy in place of an earlier one.
func (l *lab) copySlot(ctx context.Context, name string) error {
	if err := l.dropSlot(ctx, name); err != nil {
		return err
	}
	return l.cluster.Exec(ctx, `select pg_copy_logical_replication_slot('base', '`+name+`')`)
}

// dropSlot drops a slot, if it exists, once its consumer has let go of it.
func (l *lab) dropSlot(ctx context.Context, name string) error {
	return l.cluster.Exec(ctx,
		`do $$ begin for i in 1..100 loop exit when not exists (select from pg_replication_slots where slot_name = '`+name+`' and active); perform pg_sleep(0.1); end loop; end $$`,
		`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '`+name+`'`)
}

// newSlot makes a slot that begins here.
func (l *lab) newSlot(ctx context.Context, name string) error {
	return l.cluster.Exec(ctx, `select pg_create_logical_replication_slot('`+name+`', 'pgoutput')`)
}

func (l *lab) recvlogical(ctx context.Context, end string) (time.Duration, error) {
	if err := l.copySlot(ctx, "reference"); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, l.cluster.Binaries().Dir+"/pg_recvlogical", "-h", "127.0.0.1", "-p", strconv.Itoa(l.cluster.Port()), "-U", "postgres", "-d", "postgres",
		"--slot", "reference", "--start", "--no-loop", "--endpos", end, "--plugin=pgoutput", "-o", "proto_version=1", "-o", "publication_names=bench", "-f", "/dev/null")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	return time.Since(began), nil
}

// relay runs walrelay until one subscriber has all rows.
func (l *lab) relay(ctx context.Context, rows int, r *round) error {
	if err := l.copySlot(ctx, "relay"); err != nil {
		return err
	}
	var from string
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `select confirmed_flush_lsn::text from pg_replication_slots where slot_name = 'relay'`).Scan(&from); err != nil {
		return err
	}
	began := time.Now()
	p, err := l.startRelay(ctx, itemsRelay("relay"))
	if err != nil {
		return err
	}
	defer p.stop()
	s, err := p.subscribe(ctx, "items", from)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.skip(rows); err != nil {
		return err
	}
	r.relay = time.Since(began)
	r.cpu, r.mallocs, r.peakRSS, err = p.usage(ctx)
	return err
}
