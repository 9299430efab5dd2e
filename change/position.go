package change

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LSN is a byte position in the WAL (pg_lsn).
type LSN uint64

// String gives the form that Postgres prints, for example 0/16B3748.
func (l LSN) String() string { return string(l.Append(nil)) }

// Append appends the form that Postgres prints to dst.
func (l LSN) Append(dst []byte) []byte {
	dst = appendHex(dst, uint32(l>>32))
	dst = append(dst, '/')
	return appendHex(dst, uint32(l))
}

func appendHex(dst []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := 28
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}

// ParseLSN reads an LSN in the form hi/lo, both hexadecimal, at most 8 digits each.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok || !isHex(hi) || !isHex(lo) {
		return 0, fmt.Errorf("%q is not an LSN (expected the form 0/16B3748)", s)
	}
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not an LSN (expected the form 0/16B3748)", s)
	}
	return LSN(h<<32 | l), nil
}

func isHex(s string) bool {
	if s == "" || len(s) > 8 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// Position names one change: the LSN of its transaction's commit record and its
// 0-based number within the transaction. As a cursor it means "everything up to
// and including this change is known". The zero Position is before everything.
type Position struct {
	Commit LSN
	Index  uint64
}

// Before is the cursor that knows every transaction with a commit LSN below l
// and nothing else: what a bare LSN from outside means, and a WAL end told by
// Postgres.
//
// WAL records begin at multiples of 8, so for such an l no commit has the LSN that
// the cursor names; any index would do, and 0 prints short.
func Before(l LSN) Position {
	switch {
	case l == 0:
		return Position{}
	case l%8 == 0:
		return Position{Commit: l - 1}
	}
	return Position{Commit: l}.Prev()
}

// Prev is the position just before p: there is none between the two. Only the zero
// Position, which is before everything, is its own.
func (p Position) Prev() Position {
	switch {
	case p.Index > 0:
		return Position{Commit: p.Commit, Index: p.Index - 1}
	case p.Commit > 0:
		return Position{Commit: p.Commit - 1, Index: math.MaxUint64}
	}
	return p
}

// Compare returns -1, 0 or +1.
func (p Position) Compare(q Position) int {
	switch {
	case p.Commit < q.Commit:
		return -1
	case p.Commit > q.Commit:
		return 1
	case p.Index < q.Index:
		return -1
	case p.Index > q.Index:
		return 1
	}
	return 0
}

// Less reports whether p comes before q.
func (p Position) Less(q Position) bool { return p.Compare(q) < 0 }

// IsZero reports whether p is before everything.
func (p Position) IsZero() bool { return p == Position{} }

// String gives commit LSN and index, for example 0/16B3748.3: an event id
// without its view tag.
func (p Position) String() string { return string(p.Append(nil)) }

// Append appends the form of String to dst.
func (p Position) Append(dst []byte) []byte {
	dst = p.Commit.Append(dst)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, p.Index, 10)
}
