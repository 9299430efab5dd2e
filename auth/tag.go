package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// tag stands for something that is not kept: an HMAC with a key of this process.
type tag [16]byte

// tagger makes tags. Safe for concurrent use. Every change of a session table needs one, so it
// keeps what it computes with.
type tagger struct{ idle sync.Pool }

// tagging is what one tag is computed with.
type tagging struct {
	mac      hash.Hash
	buf, sum []byte
}

func newTagger() *tagger {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return &tagger{idle: sync.Pool{New: func() any { return &tagging{mac: hmac.New(sha256.New, key)} }}}
}

// of is the tag of parts in a domain.
func (t *tagger) of(domain string, parts ...string) tag {
	w := t.idle.Get().(*tagging)
	defer t.idle.Put(w)
	w.buf = appendPart(w.buf[:0], domain)
	for _, part := range parts {
		w.buf = appendPart(w.buf, part)
	}
	w.mac.Reset()
	w.mac.Write(w.buf)
	clear(w.buf) // it may hold a cookie
	w.sum = w.mac.Sum(w.sum[:0])
	return tag(w.sum[:len(tag{})])
}

func appendPart(dst []byte, part string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
	return append(dst, part...)
}
