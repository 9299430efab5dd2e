package integration

import (
	"fmt"
	"strings"
)

// judgement says whether a subscriber may have the breaks in its sequence that it has;
// "" means that it may.
type judgement func(s *sufferer, got []stretch) string

// nothingLost: nobody is reset. Who came without an id, or with an LSN of its own,
// chose so.
func nothingLost(_ *sufferer, got []stretch) string {
	for _, st := range got {
		if st.reset() {
			return fmt.Sprintf("reset %s at %s, where nothing was lost", st.how, st.from)
		}
	}
	return ""
}

// reset reports whether the stretch began with one.
func (st *stretch) reset() bool { return st.how != "" && st.how != "fresh" && st.how != "bare" }

// resetsOf are the stretches that began with a reset.
func resetsOf(got []stretch) (out []int) {
	for i := range got {
		if got[i].reset() {
			out = append(out, i)
		}
	}
	return out
}

// judge compares what everybody got with the oracle's account, and looks at the slot.
func (tt *torture) judge(c *chaos, allowed judgement) {
	tt.t.Helper()
	tt.checkSlot()
	tt.victim.look()
	tt.tally().overflows += int(tt.r.metric(tt.t, "walrelay_queue_overflows_total"))
	changes, transactions, total := tt.oracle.read(tt.t)
	tt.tally().transactions, tt.tally().changes = transactions, total
	var guilty []string
	for _, s := range tt.crowd {
		if report := tt.try(s, changes, allowed); report != "" {
			guilty = append(guilty, report+s.history())
		}
	}
	if len(guilty) > 0 {
		tt.t.Errorf("%d of %d subscribers did not get what was committed", len(guilty), len(tt.crowd))
		for _, report := range guilty[:min(3, len(guilty))] {
			tt.t.Error(report)
		}
	}
	if tt.t.Failed() {
		tt.t.Logf("what was done in the round:\n  %s", strings.Join(c.log, "\n  "))
	}
}

// checkSlot: nothing may be confirmed to Postgres that the log does not have on disk.
func (tt *torture) checkSlot() {
	tt.t.Helper()
	confirmed := tt.db.confirmed(tt.t)
	if durable := tt.r.metric(tt.t, "walrelay_log_durable_lsn"); float64(confirmed) > durable {
		tt.t.Errorf("the slot is confirmed up to %s, beyond what the log has on disk (%.0f)", confirmed, durable)
	}
}

// try judges one subscriber; "" when all is well.
func (tt *torture) try(s *sufferer, changes []tortureChange, allowed judgement) string {
	err, got := s.failure(), s.take()
	count := tt.tally()
	if err != nil { // it has stopped reading there
		count.wrong["breach"]++
		return fmt.Sprintf("%s\n%v", s, err)
	}
	for i := range got {
		st := &got[i]
		count.events += len(st.got)
		if st.reset() {
			count.resets[st.how]++
		}
		if v := compare(st.got, st.want(s.has, changes)); v != nil {
			count.wrong[v.what]++
			return fmt.Sprintf("%s\n%s  in stretch %d of %s", s, v, i, describe(got))
		}
	}
	if why := allowed(s, got); why != "" {
		return fmt.Sprintf("%s\n%s", s, why)
	}
	s.count(count)
	return ""
}

// count adds what the subscriber did in the round.
func (s *sufferer) count(to *tortureTally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.connections += s.visits
	to.resumed += s.resumed
	to.beats += s.beats
	s.visits, s.resumed, s.beats = 0, 0, 0
}

// history is what the subscriber went through of late.
func (s *sufferer) history() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	b.WriteString("\n  its connections:")
	for _, n := range s.notes {
		fmt.Fprintf(&b, "\n  %v", n)
	}
	if s.leave != nil {
		fmt.Fprintf(&b, "\n  and is connected, at %s", s.lastID)
	}
	return b.String()
}
