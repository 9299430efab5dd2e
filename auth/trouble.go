package auth

import (
	"log/slog"
	"sync"
	"time"
)

// How often the log hears of a trouble that lasts, and of one that comes and goes.
const (
	troubleLasts = 10 * time.Minute
	troubleFlaps = time.Minute
)

// trouble tells the log that something outside does not work, and later that it works
// again: when it begins or becomes another one, and then now and then, however often it is
// met. Safe for concurrent use. The zero value knows of no trouble.
type trouble struct {
	mu sync.Mutex
	// text is what stands in the log; empty: nothing does, or that it is over.
	text string
	// said is when the last trouble was logged.
	said time.Time
}

// begin is called whenever it does not work.
func (t *trouble) begin(log *slog.Logger, now time.Time, message string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	quiet := troubleFlaps
	if text := err.Error(); text == t.text {
		quiet = troubleLasts
	}
	if !t.said.IsZero() && now.Sub(t.said) < quiet {
		return
	}
	t.text, t.said = err.Error(), now
	log.Error(message, "err", err)
}

// over is called whenever it works.
func (t *trouble) over(log *slog.Logger, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == "" {
		return
	}
	t.text = ""
	log.Info(message)
}
