package eventlog_test

import (
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"testing"
)

// segments are the log's files, in order.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "segment-*.db"))
	must(t, err)
	return files
}

// sealed is a blob as the log stores it beside the batches.
func sealed(blob string) []byte {
	sum := crc32.Checksum([]byte(blob), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.BigEndian.AppendUint32(nil, sum), blob...)
}
