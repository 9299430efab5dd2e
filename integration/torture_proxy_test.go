package integration

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"
)

// mirror is a server that sends back what it gets, behind a proxy that does harm to
// the first connection through it.
func mirror(t *testing.T, harm func(*link)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until either side closes
			}()
		}
	}()
	p := openProxy(t, &proxy{server: l.Addr().String(), seed: 7, greet: harm})
	conn, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// writes is a connection that notes the sizes of what is written to it.
type writes struct {
	net.Conn
	sizes []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return len(p), nil
}

// splits are the pieces in which data goes when the first 3000 bytes are split.
func splits(data []byte, seed uint64) []int {
	f := &flow{left: -1, random: rand.New(rand.NewPCG(seed, 0))}
	f.splitNext(3000)
	to := &writes{}
	(&link{}).hand(to, data, f)
	return to.sizes
}

func TestTortureProxy(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 10_000)
	for i := range sent {
		sent[i] = byte(i * i >> 3)
	}
	send := func(t *testing.T, conn net.Conn) {
		t.Helper()
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(t *testing.T, conn net.Conn) {
		t.Helper()
		got := make([]byte, len(sent))
		if n, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d of %d bytes, or not those that were sent (%v)", n, len(sent), err)
		}
	}
	t.Run("cut on the way down", func(t *testing.T) {
		conn := mirror(t, func(k *link) { k.down.cutAfter(4321) })
		send(t, conn)
		if got, _ := io.ReadAll(conn); !bytes.Equal(got, sent[:4321]) { // the cut may come as a reset
			t.Errorf("got %d bytes, want 4321", len(got))
		}
	})
	t.Run("cut on the way up", func(t *testing.T) {
		conn := mirror(t, func(k *link) { k.up.cutAfter(17) })
		send(t, conn)
		if got, _ := io.ReadAll(conn); len(got) > 17 {
			t.Errorf("got %d bytes of 17 that were let through", len(got))
		}
	})
	t.Run("cut at once", func(t *testing.T) {
		conn := mirror(t, (*link).close)
		if got, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes", got)
		}
	})
	t.Run("split", func(t *testing.T) {
		conn := mirror(t, func(k *link) { k.down.splitNext(3000) })
		send(t, conn)
		whole(t, conn)
		if a, b := splits(sent, 1), splits(sent, 1); !slices.Equal(a, b) || slices.Max(a[:len(a)-1]) != 7 || slices.Min(a) != 1 || a[len(a)-1] != len(sent)-3000 {
			t.Errorf("pieces of %v and %v, want twice the same of 1 to 7 bytes, and a rest", a, b)
		}
	})
	t.Run("stall", func(t *testing.T) {
		const d = 150 * time.Millisecond
		began := time.Now()
		conn := mirror(t, func(k *link) { k.stall(d) })
		send(t, conn)
		if whole(t, conn); time.Since(began) < d {
			t.Errorf("held for %v, want %v", time.Since(began), d)
		}
	})
	t.Run("delay", func(t *testing.T) {
		const d = 50 * time.Millisecond
		conn := mirror(t, func(k *link) { k.slow(d) })
		began := time.Now()
		send(t, conn)
		if whole(t, conn); time.Since(began) < 2*d {
			t.Errorf("there and back took %v, want twice %v", time.Since(began), d)
		}
	})
	t.Run("silence", func(t *testing.T) {
		conn := mirror(t, (*link).silence)
		send(t, conn)
		if err := conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(make([]byte, 1))
		if nerr, ok := err.(net.Error); n != 0 || !ok || !nerr.Timeout() {
			t.Errorf("read %d bytes, %v, want a timeout", n, err)
		}
	})
}
