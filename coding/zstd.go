package coding

import (
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdEncoder is made when it is needed first: it has tables for each processor. Frames carry their
// size, which is their window, so that browsers (8 MiB) can take each; a checksum would be 4 bytes
// on each row, and TCP and TLS have theirs.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	// An error is an option that does not exist.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithWindowSize(MaxText), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	return e
})

// maxRaw is the most that one raw block has: that much is its frame's window. rawBlockHead is what
// comes before it.
const (
	maxRaw       = 128 << 10
	rawBlockHead = 3
)

// rawHead: the magic number; no size, checksum or dictionary; a window of 128 KiB.
var rawHead = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}

// appendRaw appends text as a frame of raw blocks, none for no text.
func appendRaw(dst, text []byte) []byte {
	if len(text) > 0 {
		dst = append(dst, rawHead...)
	}
	for len(text) > 0 {
		n := min(len(text), maxRaw)
		head := uint32(n) << 3 // type 0
		if n == len(text) {
			head |= 1 // the last one
		}
		dst = append(dst, byte(head), byte(head>>8), byte(head>>16))
		dst = append(dst, text[:n]...)
		text = text[n:]
	}
	return dst
}
