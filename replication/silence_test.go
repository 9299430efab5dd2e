package replication

import (
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	const limit = 6 * time.Second
	type look struct {
		after   time.Duration
		heard   uint64
		blocked bool
	}
	for _, test := range []struct {
		name  string
		limit time.Duration
		looks []look
		dead  bool
	}{
		{"answers", limit, []look{{0, 0, false}, {5 * time.Second, 1, false}, {10 * time.Second, 2, false}, {15 * time.Second, 3, false}}, false},
		{"silent", limit, []look{{0, 4, false}, {2 * time.Second, 5, false}, {7 * time.Second, 5, false}, {8 * time.Second, 5, false}}, true},
		{"silent, not for long enough", limit, []look{{0, 5, false}, {5 * time.Second, 5, false}}, false},
		{"does not listen", limit, []look{{0, 5, true}, {10 * time.Second, 5, true}, {15 * time.Second, 5, false}}, false},
		{"no limit", 0, []look{{0, 5, false}, {time.Hour, 5, false}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := silence{limit: test.limit}
			start := time.Now()
			var err error
			for i, l := range test.looks {
				if err != nil {
					t.Fatalf("dead before look %d: %v", i, err)
				}
				err = s.check(start.Add(l.after), l.heard, l.blocked)
			}
			if (err != nil) != test.dead {
				t.Errorf("got %v, dead should be %v", err, test.dead)
			}
		})
	}
}
