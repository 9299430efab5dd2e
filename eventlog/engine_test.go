package eventlog_test

import (
	"testing"
	"time"

	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

// One suite for every engine and setting.
func TestEngines(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		enginetest.Run(t, func(*testing.T) enginetest.Open {
			var m enginetest.Memory
			return func(*testing.T) eventlog.Engine { return m.Open() }
		})
	})
	for name, o := range map[string]eventlog.BoltOptions{
		"bolt, large segments": {SegmentBytes: 1 << 20},
		"bolt, small segments": {SegmentBytes: 64 << 10},
		"bolt, by age":         {SegmentAge: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.Run(t, func(t *testing.T) enginetest.Open {
				o.Dir = t.TempDir()
				return func(t *testing.T) eventlog.Engine {
					e, err := eventlog.OpenBolt(o)
					if err != nil {
						t.Fatal(err)
					}
					return e
				}
			})
		})
	}
}
