package integration

import (
	"strings"
	"syscall"
	"testing"
)

const reloadTables = "create table items (id int primary key, kind text); alter table items replica identity full; insert into items values (1, 'a'), (2, 'b')"

// reloadConfig has a channel that stays as it is, one with snapshots and one without whose rules
// a test changes, and one that goes.
func reloadConfig(changed, gone string) string {
	return settings{http: "heartbeat: 100ms", channels: `
  same: {table: public.items, allow: public}
  fresh: {table: public.items, where: "` + changed + `", allow: public, snapshot: {max_rows: 100}}
  other: {table: public.items, where: "` + changed + `", allow: public}
` + gone}.yaml()
}

// Reloaded, the streams whose rules are the same notice nothing, the others are reset in band,
// and those of a channel that is gone end. It is the same by SIGHUP and by the command.
func TestReload(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"SIGHUP", "command"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, reloadTables)
			r := startRelay(t, db, reloadConfig("row.kind == 'a'", "  gone: {table: public.items, allow: public}\n"))
			same, other, gone := r.live(t, "same"), r.live(t, "other"), r.live(t, "gone")
			fresh := r.snapshotsOf(t, "fresh")
			fresh.wantTable(t, db, "select * from items where kind = 'a'")
			db.exec(t, "insert into items values (3, 'a')")
			same.wantRow(t, "insert", "same", 3)
			other.wantRow(t, "insert", "other", 3)
			gone.wantRow(t, "insert", "gone", 3)

			r.writeConfig(t, reloadConfig("row.kind == 'b'", ""))
			if by == "command" {
				if out := startProcess(t, r.command(t, "reload", "-c", r.config)).wait(t); out.code != 0 || !strings.Contains(out.stdout, "3 channels in force") {
					t.Fatalf("reload: exit code %d: %s%s", out.code, out.stdout, out.stderr)
				}
			} else {
				r.signal(t, syscall.SIGHUP)
				r.stderr.waitFor(t, `msg="rules reloaded"`)
			}
			gone.wantEnd(t, "channel_removed")
			other.wantReset(t, "view", "other")
			fresh.until(t, func() bool { return len(fresh.resets) == 1 && fresh.snapshots == 2 })
			if fresh.resets[0] != "view" {
				t.Errorf("resets %v", fresh.resets)
			}
			db.exec(t, "insert into items values (4, 'b'), (5, 'a')", "update items set kind = 'b' where id = 1")
			fresh.wantTable(t, db, "select * from items where kind = 'b'")
			same.wantRow(t, "insert", "same", 4)
			same.wantRow(t, "insert", "same", 5)
			same.wantRow(t, "update", "same", 1)
			other.wantRow(t, "insert", "other", 4)
			other.wantRow(t, "insert", "other", 1)
			// Who comes back goes on, also with the id of before where the rule is the same.
			same.reconnect(t)
			same.wantResumed(t)
			other.reconnect(t)
			other.wantResumed(t)
		})
	}
}

// A file with mistakes changes nothing: the command ends with 1 and says all of them, SIGHUP
// logs them, and every stream goes on.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, reloadTables)
	good := reloadConfig("row.kind == 'a'", "")
	r := startRelay(t, db, good)
	s := r.live(t, "same", "other")
	for _, bad := range []struct{ config, says string }{
		{reloadConfig("row.knd == 'a'", ""), `no column "knd"; did you mean "kind"`},
		{strings.Replace(good, "allow: public", "alow: public", 1), "alow"},
		{reloadConfig("row.id == 'a'", ""), "cannot apply == to"},
		{good + "  missing: {table: public.nothing, allow: public}\n", "public.nothing"},
	} {
		r.writeConfig(t, bad.config)
		out := startProcess(t, r.command(t, "reload", "-c", r.config, "--url", r.adminAt)).wait(t)
		if out.code != 1 || !strings.Contains(out.stderr, bad.says) {
			t.Errorf("exit code %d, want 1 and %q:\n%s", out.code, bad.says, out.stderr)
		}
	}
	r.signal(t, syscall.SIGHUP)
	r.stderr.waitFor(t, `level=ERROR.*public\.nothing`)
	wantLines(t, "after refused files", s.told(t, db, "same", "update items set kind = 'b' where id = 1"), []string{
		`-   same update {"id":1} {"id":1,"kind":"b"}`, `1.0 other delete {"id":1}`})
	s.reconnect(t)
	s.wantResumed(t)
}
