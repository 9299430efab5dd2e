package coding

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/flate"
)

// gzipHeader: deflate, no name, no time, system unknown.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// maxStored is the most that one stored block has, storedHead what comes before it.
const (
	maxStored  = 1<<16 - 1
	storedHead = 5
)

// appendStored appends text as stored blocks, none for no text. It begins and ends on a byte. The
// last block is empty: Go's decoder hands out what is before one, and else only what fills its window.
func appendStored(dst, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	for len(text) > 0 {
		n := min(len(text), maxStored)
		dst = append(appendStoredHead(dst, n), text[:n]...)
		text = text[n:]
	}
	return appendStoredHead(dst, 0)
}

func appendStoredHead(dst []byte, n int) []byte {
	dst = append(dst, 0) // not the last block, type 0, and the bits up to the next byte
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	return binary.LittleEndian.AppendUint16(dst, ^uint16(n))
}

// lastBlock is an empty block of fixed codes with the mark of the last one.
var lastBlock = []byte{3, 0}

func (s Sum) appendTrailer(dst []byte) []byte {
	dst = append(dst, lastBlock...)
	dst = binary.LittleEndian.AppendUint32(dst, s.crc)
	return binary.LittleEndian.AppendUint32(dst, s.size)
}

// The levels of DEFLATE: thorough for what is small, where time is lost in setting up, and fast
// for the rest, for which others wait. Measured: BenchmarkPiece.
const (
	smallText  = 32 << 10
	smallLevel = 5
	largeLevel = 2
)

// scratch is memory to compress with.
type scratch struct {
	buf          []byte
	small, large *flate.Writer // made when they are needed first
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Write appends to buf, for the writers.
func (s *scratch) Write(p []byte) (int, error) {
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// deflate puts text into buf as blocks that end with an empty stored one: on a byte.
func (s *scratch) deflate(text []byte) {
	s.buf = s.buf[:0]
	w := s.writer(&s.small, smallLevel)
	if len(text) > smallText {
		w = s.writer(&s.large, largeLevel)
	}
	// The only errors are those of Write, which has none.
	_, _ = w.Write(text)
	_ = w.Flush()
}

// writer is one of the scratch's writers, which knows nothing of what it wrote before.
func (s *scratch) writer(have **flate.Writer, level int) *flate.Writer {
	if *have == nil {
		*have, _ = flate.NewWriter(s, level) // an error is a level that does not exist
		return *have
	}
	(*have).Reset(s)
	return *have
}
