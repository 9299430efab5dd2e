package coding

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var codings = []Coding{Gzip, Zstd}

// decode reads a whole stream with a decoder that is not the one of the encoder where there is one.
func decode(t testing.TB, c Coding, stream []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch c {
	case Gzip:
		one := bytes.NewReader(stream)
		var z *gzip.Reader
		if z, err = gzip.NewReader(one); err == nil {
			z.Multistream(false) // as browsers do
			defer func() {
				if one.Len() > 0 {
					t.Errorf("%d bytes behind the member", one.Len())
				}
			}()
		}
		r = z
	case Zstd:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderMaxWindow(8<<20)); err == nil {
			defer z.Close()
		}
		r = z
	default:
		r = bytes.NewReader(stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return text
}

// mixed is a stream of pieces, some of them twice, and literals, with its text.
func mixed(c Coding, parts [][]byte, order *rand.Rand) (stream, text []byte) {
	var sum Sum
	pieces := make([]*Piece, len(parts))
	for i, p := range parts {
		pieces[i] = c.Piece(p)
	}
	stream = c.Begin(nil)
	for range 2 * len(parts) {
		i := order.IntN(len(parts))
		text = append(text, parts[i]...)
		if order.IntN(3) == 0 {
			sum.AddText(parts[i])
			stream = c.Literal(stream, parts[i])
			continue
		}
		sum.Add(pieces[i])
		stream = append(stream, pieces[i].Bytes...)
	}
	return c.End(stream, sum), text
}

// row is a frame of an event with some text of a size.
func row(r *rand.Rand, size int) []byte {
	var note strings.Builder
	for note.Len() < size {
		if word := r.IntN(40); word < 30 {
			note.WriteString([]string{"paid ", "open ", "shipped ", "cancelled ", "express ", "invoice ", "please deliver ", "before noon ", "Müller ", "Berlin "}[word%10])
		} else {
			fmt.Fprintf(&note, "%d ", r.Uint32())
		}
	}
	id := r.IntN(1_000_000)
	return fmt.Appendf(nil, `event: update
data: {"channel":"orders","op":"update","key":{"id":%d},"row":{"id":%d,"customer_id":%d,"status":"paid","total":%d.%02d,"note":%q},"tx":{"xid":%d,"at":"2026-11-20T21:%02d:%02d.%06d+00:00"}}
id: 0/16B%04X.3.k7x2mq

`, id, id, r.IntN(5000), r.IntN(1000), r.IntN(100), note.String()[:size], r.IntN(100_000), r.IntN(60), r.IntN(60), r.IntN(1_000_000), r.IntN(1<<16))
}

// rows are so many frames of about size bytes.
func rows(n, size int) (text []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		text = append(text, row(r, max(0, size-220))...)
	}
	return text
}

func noise(n int) []byte {
	r, b := rand.New(rand.NewPCG(3, 4)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Pieces and literals of all sizes can stand in any order.
func TestPiecesConcatenate(t *testing.T) {
	parts := [][]byte{nil, []byte("x"), []byte(":\n\n"), rows(1, 250), rows(1, 1000), rows(10, 250), rows(700, 300), noise(maxStored), noise(maxStored + 1), noise(maxRaw),
		noise(maxRaw + 1), bytes.Repeat([]byte("ab"), smallText), bytes.Repeat([]byte("x"), smallText), rows(1, MaxText+1), noise(MaxText)}
	for _, c := range append(codings, Identity) {
		for seed := range uint64(5) {
			stream, text := mixed(c, parts, rand.New(rand.NewPCG(seed, 0)))
			if !bytes.Equal(decode(t, c, stream), text) {
				t.Errorf("%s, seed %d: another text", c, seed)
			}
		}
	}
}

// A decoder hands out all text of what it has got so far, without the end of the stream.
func TestPiecesAreWhole(t *testing.T) {
	for _, c := range codings {
		in, out := io.Pipe()
		t.Cleanup(func() { in.Close() })
		got := make(chan string)
		go func() {
			defer close(got)
			var r io.Reader
			switch c {
			case Gzip:
				z, err := gzip.NewReader(in)
				if err != nil {
					return
				}
				r = z
			case Zstd:
				z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
				if err != nil {
					return
				}
				defer z.Close()
				r = z
			}
			text := make([]byte, len("one")+len(rows(5, 300)))
			for _, n := range []int{len("one"), len(rows(5, 300)), len("two")} {
				if _, err := io.ReadFull(r, text[:n]); err != nil {
					return
				}
				got <- string(text[:n])
			}
		}()
		for i, part := range [][]byte{c.Literal(c.Begin(nil), []byte("one")), c.Piece(rows(5, 300)).Bytes, c.Literal(nil, []byte("two"))} {
			if _, err := out.Write(part); err != nil {
				t.Fatal(err)
			}
			if text, want := <-got, []string{"one", string(rows(5, 300)), "two"}[i]; text != want {
				t.Errorf("%s: part %d is %q", c, i, text)
			}
		}
		out.Close()
	}
}

// What does not get smaller is sent as a literal, of the size that is foretold.
func TestIncompressible(t *testing.T) {
	for _, c := range codings {
		for _, n := range []int{1, 100, maxStored, maxStored + 1, maxRaw, maxRaw + 1, MaxText, MaxText + 1} {
			p := c.Piece(noise(n))
			if len(p.Bytes) > c.literalSize(n) || cap(p.Bytes) > c.literalSize(n) || len(c.Literal(nil, noise(n))) != c.literalSize(n) {
				t.Errorf("%s: %d bytes are %d, capacity %d; a literal has %d, foretold %d", c, n, len(p.Bytes), cap(p.Bytes), len(c.Literal(nil, noise(n))), c.literalSize(n))
			}
		}
		if p := c.Piece(bytes.Repeat([]byte("x"), MaxText+1)); len(p.Bytes) != c.literalSize(MaxText+1) {
			t.Errorf("%s: more than others should wait for was compressed", c)
		}
		if p := c.Piece(nil); len(p.Bytes) != 0 || len(c.Literal(nil, nil)) != 0 {
			t.Errorf("%s: nothing is %d bytes", c, len(p.Bytes))
		}
	}
}

// The length of a piece tells nothing of what was compressed before it.
func TestPiecesKnowNothingOfEachOther(t *testing.T) {
	secret := rows(1, 250)
	for _, c := range codings {
		before := c.Piece(secret)
		for range 3 {
			c.Piece(rows(3, 400))
			c.Piece(secret)
			if again := c.Piece(secret); !bytes.Equal(before.Bytes, again.Bytes) {
				t.Errorf("%s: %d bytes, %d behind others", c, len(before.Bytes), len(again.Bytes))
			}
		}
	}
}

func TestTrailerOfLongStream(t *testing.T) {
	s := Sum{size: 1<<32 - 2}
	s.Add(Gzip.Piece([]byte("abc")))
	if s.size != 1 {
		t.Errorf("size %d, want it modulo 2^32", s.size)
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("a"), []byte(""), uint8(0))
	f.Add([]byte("The quick brown fox"), []byte{0, 0, 0, 0}, uint8(3))
	f.Add(noise(1000), noise(70_000), uint8(9))
	f.Fuzz(func(t *testing.T, a, b []byte, times uint8) {
		var s Sum
		h := crc32.NewIEEE()
		for i := range int(times)%12 + 1 {
			part := [][]byte{a, b}[i%2]
			h.Write(part)
			if i%3 == 2 {
				s.AddText(part)
			} else {
				s.Add(&Piece{Size: len(part), crc: crc32.ChecksumIEEE(part), shift: zeroes(len(part))})
			}
		}
		if s.crc != h.Sum32() {
			t.Errorf("CRC %08x, want %08x", s.crc, h.Sum32())
		}
	})
}

func FuzzConcatenate(f *testing.F) {
	f.Add([]byte("event: insert\ndata: {}\n\n"), []byte(""), noise(300), uint64(1))
	f.Add(rows(3, 250), rows(1, 250), []byte("x"), uint64(2))
	f.Fuzz(func(t *testing.T, a, b, c []byte, seed uint64) {
		for _, coding := range codings {
			stream, text := mixed(coding, [][]byte{a, b, c}, rand.New(rand.NewPCG(seed, 0)))
			if !bytes.Equal(decode(t, coding, stream), text) {
				t.Errorf("%s: another text", coding)
			}
		}
	})
}

func TestNegotiate(t *testing.T) {
	for _, tt := range []struct {
		accept string
		want   Coding
	}{
		{"", Identity},
		{"gzip", Gzip},
		{"x-gzip", Gzip},
		{"GZip", Gzip},
		{"zstd", Zstd},
		{"gzip, deflate, br, zstd", Gzip}, // Chromium, Firefox
		{"gzip, deflate, br", Gzip},       // Safari
		{"br", Identity},
		{"deflate", Identity},
		{"identity", Identity},
		{"*", Gzip},
		{"*;q=0", Identity},
		{"*;q=0.1, zstd;q=0", Gzip},
		{"gzip;q=0", Identity},
		{"gzip;q=0, *", Identity},
		{"gzip;q=0.0, zstd;q=0.000", Identity},
		{"gzip;q=1.0, zstd;q=0.5", Gzip},
		{"zstd;q=0.5, gzip;q=0.5", Gzip},
		{"gzip;q=0.5, zstd;q=0.6", Zstd},
		{"gzip;q=0.001", Gzip},
		{"gzip;q=0.5, identity", Identity},
		{"gzip;q=0.5, identity;q=0.5", Gzip},
		{"gzip, identity;q=0.5", Gzip},
		{"identity;q=0", Identity}, // nothing else that it accepts
		{"identity;q=0, gzip;q=0.1", Gzip},
		{"identity;q=0, *", Gzip},
		{" gzip ; q = 0.5 ,\tzstd\t;\tQ=0.4", Gzip},
		{"gzip;q=2", Identity},
		{"gzip;q=-1", Identity},
		{"gzip;q=1e0", Identity},
		{"gzip;q=NaN", Identity},
		{"gzip;q=0.0001", Identity},
		{"gzip;q=", Identity},
		{"gzip;q", Identity},
		{"gzip;level=9", Identity},
		{";q=1, , gzip", Gzip},
		{"gzipped, zstdx", Identity},
	} {
		if got := Negotiate([]string{tt.accept}); got != tt.want {
			t.Errorf("Accept-Encoding: %s gives %s, want %s", tt.accept, got, tt.want)
		}
	}
	if got := Negotiate([]string{"br;q=0.9", "gzip;q=0.8"}); got != Gzip {
		t.Errorf("of two headers %s", got)
	}
	if got := Negotiate(nil); got != Identity {
		t.Errorf("without a header %s", got)
	}
}

func BenchmarkPiece(b *testing.B) {
	for _, bm := range []struct {
		name    string
		n, size int
	}{{"row=250B", 1, 250}, {"row=1KB", 1, 1000}, {"rows=10x250B", 10, 250}, {"rows=100x250B", 100, 250}, {"rows=3500x250B", 3500, 250}} {
		text := rows(bm.n, bm.size)
		for _, c := range codings {
			b.Run(bm.name+"/"+c.String(), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					size = len(c.Piece(text).Bytes)
				}
				b.ReportMetric(float64(size)/float64(len(text)), "ratio")
			})
		}
	}
}

func BenchmarkSum(b *testing.B) {
	p := Gzip.Piece(rows(10, 250))
	var s Sum
	b.ReportAllocs()
	for b.Loop() {
		s.Add(p)
	}
}
