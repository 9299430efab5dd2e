package eventlog

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/walrelay/walrelay/change"
)

// segmentState is what every commit stores anew.
type segmentState struct {
	epoch          uint64
	base, last     change.Position
	wal            change.LSN
	count          int64
	oldest, newest time.Time // of the records' times, meaningless when count is 0
}

// Length of an encoded state, and its version.
const (
	stateSize    = 1 + 4 + 8 + 16 + 16 + 8 + 8 + 8 + 8
	stateVersion = 1
)

func (s segmentState) encode() []byte {
	b := make([]byte, 5, stateSize)
	b[0] = stateVersion
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = appendPosition(b, s.base)
	b = appendPosition(b, s.last)
	b = binary.BigEndian.AppendUint64(b, uint64(s.wal))
	b = binary.BigEndian.AppendUint64(b, uint64(s.count))
	b = binary.BigEndian.AppendUint64(b, uint64(s.oldest.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.newest.UnixMicro()))
	binary.BigEndian.PutUint32(b[1:], recordCRC(b))
	return b
}

func decodeState(b []byte) (s segmentState, err error) {
	if len(b) != stateSize || b[0] != stateVersion {
		return s, errors.New("no state that this walrelay knows")
	}
	if recordCRC(b) != binary.BigEndian.Uint32(b[1:]) {
		return s, errors.New("checksum of the state is wrong")
	}
	s.epoch = binary.BigEndian.Uint64(b[5:])
	s.base, s.last = position(b[13:]), position(b[29:])
	s.wal = change.LSN(binary.BigEndian.Uint64(b[45:]))
	s.count = int64(binary.BigEndian.Uint64(b[53:]))
	s.oldest = time.UnixMicro(int64(binary.BigEndian.Uint64(b[61:]))).UTC()
	s.newest = time.UnixMicro(int64(binary.BigEndian.Uint64(b[69:]))).UTC()
	return s, nil
}

// with is the state once e is stored.
func (s segmentState) with(e *Entry) segmentState {
	s.wal = max(s.wal, e.WAL)
	if e.Last == e.Prev {
		return s
	}
	at := time.UnixMicro(e.Time.UnixMicro()).UTC() // as it is read back
	if s.count == 0 {
		s.oldest, s.newest = at, at
	}
	if at.After(s.newest) {
		s.newest = at
	}
	s.last = e.Last
	s.count++
	return s
}
