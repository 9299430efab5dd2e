package pgtemp

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// newSystemID makes a system identifier in the way initdb does: seconds since
// 1970 above, something unlike any other below.
func newSystemID() uint64 {
	return uint64(time.Now().Unix())<<32 | uint64(rand.Uint32())
}

// walSystemID is where the long header of a WAL segment's first page keeps the
// system identifier (XLogLongPageHeaderData.xlp_sysid, access/xlog_internal.h;
// the same in all versions from 9.3 on). The header carries no checksum.
const walSystemID = 24

// setSystemID makes the stopped cluster in dir a cluster of its own, although its
// files are a copy. Postgres compares the identifier in pg_control with that in
// each WAL segment, so both are written.
func setSystemID(dir string, id uint64) error {
	if err := edit(filepath.Join(dir, "global", "pg_control"), func(control []byte) error {
		return setControlID(control, id)
	}); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dir, "pg_wal", "[0-9A-F]*"))
	if err != nil || len(segments) == 0 {
		return fmt.Errorf("pgtemp: set system identifier: no WAL in %s (%v)", dir, err)
	}
	for _, segment := range segments {
		if err := editHead(segment, walSystemID, id); err != nil {
			return err
		}
	}
	return nil
}

// setControlID changes the first field of pg_control (catalog/pg_control.h) and
// its checksum, the last one. Where the last field is differs between versions,
// so it is found by what it is: the CRC-32C of all before it.
func setControlID(control []byte, id uint64) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	// 8 is the identifier itself; sizeof(ControlFileData) is held below 512, the
	// size of a disk sector, in all versions.
	for end := 8; end+4 <= min(len(control), 512); end += 4 {
		if binary.NativeEndian.Uint32(control[end:]) == crc32.Checksum(control[:end], table) {
			binary.NativeEndian.PutUint64(control, id)
			binary.NativeEndian.PutUint32(control[end:], crc32.Checksum(control[:end], table))
			return nil
		}
	}
	return fmt.Errorf("no checksum found in %d bytes", len(control))
}

// edit changes a small file in place, so that it keeps its owner.
func edit(path string, change func([]byte) error) error {
	data, err := os.ReadFile(path)
	if err == nil {
		err = change(data)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("pgtemp: set system identifier in %s: %w", path, err)
	}
	return nil
}

// editHead writes eight bytes at offset.
func editHead(path string, offset int64, value uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgtemp: set system identifier: %w", err)
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, value), offset)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("pgtemp: set system identifier in %s: %w", path, err)
	}
	return nil
}
