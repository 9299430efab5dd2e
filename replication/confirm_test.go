package replication

import (
	"bytes"
	"testing"
	"time"
)

func TestAppendStatus(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)
	lsn := "\x00\x00\x00\x02\x00\x00\x00\x10"
	want := "d\x00\x00\x00\x26r" + lsn + lsn + lsn + "\x00\x00\x00\x00\x00\x0f\x42\x40"
	if got := appendStatus(nil, 0x2_0000_0010, now, false); string(got) != want+"\x00" {
		t.Errorf("got %q", got)
	}
	if got := appendStatus([]byte("x"), 0x2_0000_0010, now, true); !bytes.Equal(got, []byte("x"+want+"\x01")) {
		t.Errorf("got %q", got)
	}
}

func TestStatusPace(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		0:                      5 * time.Second,
		time.Minute:            5 * time.Second,
		3 * time.Second:        time.Second,
		time.Millisecond:       10 * time.Millisecond,
		300 * time.Millisecond: 100 * time.Millisecond,
	} {
		if got := statusPace(timeout); got != want {
			t.Errorf("wal_sender_timeout %v: got %v, want %v", timeout, got, want)
		}
	}
}
