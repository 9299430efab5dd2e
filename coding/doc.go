// Package coding compresses text in pieces that any number of clients can share.
//
// A [Piece] is text that was compressed by itself: it refers to nothing before it, ends on a byte
// and can be put behind any other piece, so that it is made once for all who get the text. What
// one client alone gets is a literal: not compressed, a few bytes larger than it was.
//
//	gzip:  header, { piece | literal }, trailer
//	zstd:  { piece | literal }
//
// With gzip all of a stream is one member, for browsers read no other: the header is 10 bytes, a
// piece is DEFLATE blocks that end with an empty stored one, a literal is stored blocks, and the
// trailer is an empty last block, the CRC-32 of all text and its length. The CRC is not computed
// from the text: [Sum] puts those of the pieces together. With zstd a piece is a frame.
// A stream is whole behind each piece and literal: a decoder needs nothing more to hand out all
// of the text. A gzip stream without its trailer was cut off.
//
// Because nothing refers to anything before it, how long a piece is tells of its own text only,
// not of what the client got earlier (see docs/security.md on BREACH).
//
// Pieces are immutable, and all functions may be called by several goroutines at once. A [Sum]
// belongs to one.
package coding
