package coding

import "hash/crc32"

// Sum is what a gzip trailer says of all text so far. The zero value is that of none.
type Sum struct {
	crc  uint32
	size uint32 // modulo 2^32, as in the trailer
}

// Add adds the text of a gzip piece, in a time that does not depend on its length.
func (s *Sum) Add(p *Piece) {
	s.crc = multiply(s.crc, p.shift) ^ p.crc
	s.size += uint32(p.Size)
}

// AddText adds text.
func (s *Sum) AddText(text []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, text)
	s.size += uint32(len(text))
}

// A CRC is a polynomial over GF(2) modulo P, with the coefficient of x^0 in the highest bit. The
// CRC of A and B one after the other is that of A times x^(8·len(B)) modulo P, plus that of B: the
// ones with which a CRC begins and ends cancel out.

// one is the polynomial 1.
const one = 1 << 31

// multiply is a·b modulo P.
func multiply(a, b uint32) uint32 {
	var p uint32
	for a != 0 {
		if a&one != 0 {
			p ^= b
		}
		a <<= 1
		b = b>>1 ^ crc32.IEEE&-(b&1) // times x
	}
	return p
}

// squares[i] is x^(8·2^i) modulo P.
var squares = func() (s [32]uint32) {
	s[0] = one >> 8
	for i := 1; i < len(s); i++ {
		s[i] = multiply(s[i-1], s[i-1])
	}
	return s
}()

// zeroes is x^(8·n) modulo P.
func zeroes(n int) uint32 {
	p := uint32(one)
	for i := 0; n > 0; n, i = n>>1, i+1 {
		if n&1 != 0 {
			p = multiply(p, squares[i%len(squares)]) // n is less than 2^32
		}
	}
	return p
}
