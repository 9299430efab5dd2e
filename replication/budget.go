package replication

import "fmt"

// Budget is the WAL that the slot holds back against what it may, in bytes.
type Budget struct {
	Retained int64
	// Limit is the smaller of postgres.wal_budget and what max_slot_wal_keep_size comes
	// to; 0: there is none, because the slot holds nothing back or is not walrelay's.
	Limit int64
	// From is the setting that Limit comes from.
	From string
}

// The settings that bound a slot's WAL.
const (
	fromConfig = "postgres.wal_budget"
	fromServer = "max_slot_wal_keep_size"
)

// In percent of the limit: from warnAt on the log warns, from unreadyAt on walrelay
// is not ready.
const (
	warnAt    = 50
	unreadyAt = 80
)

// budget applies the smaller of the configured limit and the server's.
func (s *Slot) budget(configured int64) Budget {
	if s.Invalid != "" || s.wrong() != nil {
		return Budget{}
	}
	b := Budget{Retained: s.Retained, Limit: configured, From: fromConfig}
	if server := s.Retained + s.SafeLeft; s.Limited && server < configured {
		b.Limit, b.From = max(server, 1), fromServer
	}
	return b
}

// Percent of the limit that is used; 0 without a limit.
func (b Budget) Percent() int64 {
	if b.Limit <= 0 {
		return 0
	}
	return int64(float64(b.Retained) / float64(b.Limit) * 100)
}

// reason is why readiness fails, empty where it does not.
func (b Budget) reason(slot string) string {
	if b.Percent() < unreadyAt {
		return ""
	}
	return fmt.Sprintf("slot %s holds back %d bytes of WAL, %d %% of the %d bytes that %s allows; fix: %s", slot, b.Retained, b.Percent(), b.Limit, b.From, b.fix())
}

func (b Budget) fix() string {
	return "mend what keeps walrelay from confirming (the other reasons of /readyz, or a long transaction of the application), or raise " + b.From
}
