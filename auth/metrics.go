package auth

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of Sessions. Labels are constants or keys of the configuration.
type metrics struct{}

func newMetrics() *metrics { return &metrics{} }

func (m *metrics) register(prometheus.Registerer) {}

// accepted counts a request with a session.
func (m *metrics) accepted(entry string) {}

// refused counts a request whose session was refused.
func (m *metrics) refused(entry string, why Reason) {}

// failed counts a request that could not be resolved now.
func (m *metrics) failed(entry string) {}

// cache counts hit, miss and negative.
func (m *metrics) cache(result string) {}

// lookup observes one look-up.
func (m *metrics) lookup(d time.Duration, failed bool) {}

// ended counts a session that ended for a cause other than time without streams.
func (m *metrics) ended(cause string) {}

// revoked observes the time from a commit to the end of the session's streams.
func (m *metrics) revoked(latency time.Duration) {}

// reread counts same, changed, gone and failed.
func (m *metrics) reread(result string) {}
