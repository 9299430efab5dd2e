package coding

import "hash/crc32"

// Coding is a content coding of HTTP.
type Coding uint8

// The codings. Identity is none.
const (
	Identity Coding = iota
	Gzip
	Zstd
)

// String is the name in Accept-Encoding and Content-Encoding.
func (c Coding) String() string { return [...]string{"identity", "gzip", "zstd"}[c] }

// MaxText is the most text that a piece compresses. More is not worth the time that others would
// wait for it, and goes as it is.
const MaxText = 1 << 20

// Piece is compressed text.
type Piece struct {
	// Bytes are the piece as it is sent.
	Bytes []byte
	// Size is how long the text is.
	Size int

	crc uint32
	// shift is what Size bytes of zeroes do to a CRC, see advance. Only with gzip.
	shift uint32
}

// Piece compresses text. Text that does not get smaller goes as it is. The text of no bytes is a
// piece of no bytes.
func (c Coding) Piece(text []byte) *Piece {
	p := &Piece{Size: len(text)}
	if c == Gzip {
		p.crc, p.shift = crc32.ChecksumIEEE(text), zeroes(len(text))
	}
	if len(text) <= MaxText {
		p.Bytes = c.compress(text)
	}
	if p.Bytes == nil {
		p.Bytes = c.Literal(make([]byte, 0, c.literalSize(len(text))), text)
	}
	return p
}

// compress returns nil where that makes nothing smaller than a literal.
func (c Coding) compress(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	switch c {
	case Gzip:
		s.deflate(text)
	case Zstd:
		s.buf = zstdEncoder().EncodeAll(text, s.buf[:0])
	default:
		return nil
	}
	if len(s.buf) >= c.literalSize(len(text)) {
		return nil
	}
	return append(make([]byte, 0, len(s.buf)), s.buf...)
}

// Literal appends text as it is, in what the coding puts around it.
func (c Coding) Literal(dst, text []byte) []byte {
	switch c {
	case Gzip:
		return appendStored(dst, text)
	case Zstd:
		return appendRaw(dst, text)
	}
	return append(dst, text...)
}

// literalSize is what a literal of n bytes takes, where n is not 0.
func (c Coding) literalSize(n int) int {
	switch c {
	case Gzip:
		return n + storedHead*((n+maxStored-1)/maxStored+1)
	case Zstd:
		return n + len(rawHead) + rawBlockHead*((n+maxRaw-1)/maxRaw)
	}
	return n
}

// Begin appends what a stream begins with.
func (c Coding) Begin(dst []byte) []byte {
	if c == Gzip {
		return append(dst, gzipHeader...)
	}
	return dst
}

// End appends what a stream of this text ends with.
func (c Coding) End(dst []byte, s Sum) []byte {
	if c == Gzip {
		return s.appendTrailer(dst)
	}
	return dst
}
