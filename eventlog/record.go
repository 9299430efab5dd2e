package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/walrelay/walrelay/change"
)

const (
	recordVersion = 1
	// recordHeader is everything before the relation ids, see doc.go.
	recordHeader   = 1 + 4 + 1 + 3*16 + 8 + 8 + 4 + 4 + 4
	flagCompressed = 1
	// compressFrom is the size from which compression pays.
	compressFrom = 4 << 10
	// maxBody bounds what a record can hold; batches are far smaller.
	maxBody = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordCRC covers the version and everything behind the checksum.
func recordCRC(rec []byte) uint32 {
	return crc32.Update(crc32.Checksum(rec[:1], castagnoli), castagnoli, rec[5:])
}

// appendRecord appends the record of b to dst and returns it.
func appendRecord(dst []byte, b *change.Batch) []byte {
	start := len(dst)
	dst = append(dst, recordVersion, 0, 0, 0, 0, 0)
	dst = appendPosition(dst, b.Prev)
	dst = appendPosition(dst, b.First)
	dst = appendPosition(dst, b.Last)
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.WAL))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.Time.UnixMicro()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.Changes))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b.Body)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b.Relations)))
	for _, r := range b.Relations {
		dst = binary.BigEndian.AppendUint64(dst, r.ID)
	}
	dst, compressed := appendBody(dst, b.Body)
	rec := dst[start:]
	if compressed {
		rec[5] |= flagCompressed
	}
	binary.BigEndian.PutUint32(rec[1:], recordCRC(rec))
	return dst
}

// appendBody appends body, compressed where that saves an eighth.
func appendBody(dst, body []byte) (out []byte, compressed bool) {
	if len(body) < compressFrom {
		return append(dst, body...), false
	}
	room := s2.MaxEncodedLen(len(body))
	dst = slices.Grow(dst, room)
	packed := s2.Encode(dst[len(dst):len(dst)+room], body)
	if len(packed) > len(body)-len(body)/8 {
		return append(dst, body...), false
	}
	return dst[:len(dst)+len(packed)], true
}

// decodeRecord returns the batch of rec without its relations, and their ids. The
// batch owns its bytes.
func decodeRecord(rec []byte) (*change.Batch, []uint64, error) {
	if len(rec) < recordHeader {
		return nil, nil, fmt.Errorf("record of %d bytes is too short", len(rec))
	}
	if rec[0] != recordVersion {
		return nil, nil, fmt.Errorf("record has version %d, this walrelay knows %d", rec[0], recordVersion)
	}
	if recordCRC(rec) != binary.BigEndian.Uint32(rec[1:]) {
		return nil, nil, errors.New("checksum of the record is wrong")
	}
	b, size, n := decodeHeader(rec)
	rest := rec[recordHeader:]
	if n > len(rest)/8 {
		return nil, nil, fmt.Errorf("record names %d relations in %d bytes", n, len(rest))
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = binary.BigEndian.Uint64(rest[8*i:])
	}
	var err error
	b.Body, err = decodeBody(rest[8*n:], size, rec[5]&flagCompressed != 0)
	return b, ids, err
}

// decodeHeader reads the fixed part: the batch, the size of its body and the
// number of its relations.
func decodeHeader(rec []byte) (b *change.Batch, size, relations int) {
	return &change.Batch{
		Prev:    position(rec[6:]),
		First:   position(rec[22:]),
		Last:    position(rec[38:]),
		WAL:     change.LSN(binary.BigEndian.Uint64(rec[54:])),
		Time:    time.UnixMicro(int64(binary.BigEndian.Uint64(rec[62:]))).UTC(),
		Changes: int(binary.BigEndian.Uint32(rec[70:])),
	}, int(binary.BigEndian.Uint32(rec[74:])), int(binary.BigEndian.Uint32(rec[78:]))
}

func decodeBody(packed []byte, size int, compressed bool) ([]byte, error) {
	if !compressed {
		if len(packed) != size {
			return nil, fmt.Errorf("body has %d bytes instead of %d", len(packed), size)
		}
		return slices.Clone(packed), nil
	}
	if n, err := s2.DecodedLen(packed); err != nil || n != size {
		return nil, fmt.Errorf("body says that it has %d bytes instead of %d", n, size)
	}
	body, err := s2.Decode(make([]byte, size), packed)
	if err != nil {
		return nil, fmt.Errorf("decompress body: %w", err)
	}
	return body, nil
}

func appendPosition(dst []byte, p change.Position) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Commit))
	return binary.BigEndian.AppendUint64(dst, p.Index)
}

func position(b []byte) change.Position {
	return change.Position{Commit: change.LSN(binary.BigEndian.Uint64(b)), Index: binary.BigEndian.Uint64(b[8:])}
}

// seal puts a checksum before a blob; unseal checks and removes it.
func seal(blob []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(blob)), crc32.Checksum(blob, castagnoli)), blob...)
}

func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || crc32.Checksum(sealed[4:], castagnoli) != binary.BigEndian.Uint32(sealed) {
		return nil, errors.New("checksum is wrong")
	}
	return sealed[4:], nil
}
