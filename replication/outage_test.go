package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is what an outage wrote, a line each.
func told(story func(*outage)) []string {
	var out strings.Builder
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "msg" || a.Key == "cause" {
			return a
		}
		return slog.Attr{}
	}})
	o := &outage{log: slog.New(handler), slot: "relay"}
	story(o)
	synctest.Wait()
	o.close()
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestOutage(t *testing.T) {
	refused, cut := errors.New("refused"), errors.New("cut")
	inUse := func(pid int32) error {
		return fmt.Errorf("start: %w", &SlotInUseError{Slot: "relay", PID: pid, Fix: "x"})
	}
	bad := func(problem string) error {
		return &PreflightError{Findings{{Severity: Error, Subject: "publication", Problem: problem}}}
	}
	lost := &SlotLostError{Slot: "relay", Reason: "wal_removed"}
	lostToo := &PreflightError{Findings{{Severity: Error, Subject: "slot relay", Problem: "lost", Err: lost}}}
	for _, test := range []struct {
		name  string
		story func(*outage)
		want  []string
	}{
		{"a good start", func(o *outage) { o.streaming(1) }, []string{"msg=streaming"}},
		{"Postgres away at first", func(o *outage) { o.ended(refused); o.ended(refused); o.streaming(1); time.Sleep(time.Minute) },
			[]string{`msg="cannot stream yet, trying again" cause=refused`, "msg=streaming"}},
		{"cut", func(o *outage) {
			o.streaming(1)
			o.ended(cut)
			o.ended(refused)
			o.ended(refused)
			o.streaming(2)
			time.Sleep(time.Minute)
			o.ended(cut)
		}, []string{"msg=streaming", `msg="replication lost, trying again" cause=cut`, `msg="replication is back"`, `msg="replication lost, trying again" cause=cut`}},
		{"streams that end at once", func(o *outage) {
			o.streaming(1)
			for range 3 {
				o.ended(cut)
				o.streaming(2)
				time.Sleep(steadyAfter / 2)
			}
			o.ended(cut)
			time.Sleep(time.Minute)
		}, []string{"msg=streaming", `msg="replication lost, trying again" cause=cut`}},
		{"what only a person mends", func(o *outage) {
			o.streaming(1)
			for _, err := range []error{cut, inUse(1), refused, bad("a"), bad("a"), bad("a"), refused, bad("a"), bad("b"), bad("b"), inUse(1), inUse(2), inUse(3)} {
				o.ended(err)
			}
		}, []string{"msg=streaming", `msg="replication lost, trying again" cause=cut`,
			`msg="replication stays down until somebody mends this" cause="publication: a"`,
			`msg="replication stays down until somebody mends this" cause="publication: b"`,
			`msg="replication stays down until somebody mends this" cause="start: replication slot \"relay\" is in use by another process (walsender PID 2); fix: x"`}},
		{"a lost slot, which the watcher tells", func(o *outage) {
			o.streaming(1)
			o.ended(cut)
			o.ended(lostToo)
			o.ended(lostToo)
		}, []string{"msg=streaming", `msg="replication lost, trying again" cause=cut`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(test.want, told(test.story)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// Findings are told when they come, not at every attempt.
func TestNews(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	a, b := Finding{Severity: Warning, Subject: "a", Problem: "x"}, Finding{Severity: Error, Subject: "b", Problem: "y", Table: "public.b"}
	var n news
	for _, test := range []struct {
		findings       Findings
		warned, failed int // so far
	}{
		{Findings{a}, 1, 0}, {Findings{a}, 1, 0}, {Findings{a, b, b}, 1, 1}, {Findings{b, a}, 1, 1}, {nil, 1, 1}, {Findings{a, b}, 2, 2},
	} {
		n.tell(log, test.findings)
		wantCount(t, out.String(), "level=WARN", test.warned)
		wantCount(t, out.String(), "level=ERROR", test.failed)
	}
}
