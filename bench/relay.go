package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// relay is a walrelay process with one channel, items.
type relay struct {
	cmd         *exec.Cmd
	base, admin string
	stderr      bytes.Buffer
}

func (l *lab) startRelay(ctx context.Context, slot string) (*relay, error) {
	dir, err := os.MkdirTemp(l.dir, "relay")
	if err != nil {
		return nil, err
	}
	public, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "walrelay.yaml")
	yaml := fmt.Sprintf("postgres: {url: %q, slot: %s, publication: bench}\nlog: {dir: %q}\nhttp: {listen: %q}\nadmin: {listen: %q}\n"+
		"channels:\n  items:\n    table: public.items\n    columns: \"*\"\n    allow: public\n", l.cluster.URL("postgres"), slot, filepath.Join(dir, "data"), public, admin)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	p := &relay{base: "http://" + public, admin: "http://" + admin}
	p.cmd = exec.CommandContext(ctx, l.binary, "serve", "-c", file)
	p.cmd.Stderr = &p.stderr
	return p, p.cmd.Start()
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (p *relay) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	_ = p.cmd.Wait()
}

// subscription reads an SSE stream and only looks for the events' data lines.
type subscription struct {
	body io.ReadCloser
	in   *bufio.Reader
}

// subscribe asks until the stream is live; from is a last event id or empty.
func (p *relay) subscribe(ctx context.Context, from string) (*subscription, error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/events/items", nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Last-Event-ID", from)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		s := &subscription{resp.Body, bufio.NewReaderSize(resp.Body, 256<<10)}
		for {
			line, err := s.in.ReadSlice('\n')
			if err != nil || bytes.HasPrefix(line, []byte("event: end")) {
				break
			}
			if bytes.HasPrefix(line, []byte("event: ready")) {
				return s, nil
			}
		}
		s.close()
	}
	return nil, fmt.Errorf("no stream within 30 s: %s", p.stderr.String())
}

func (s *subscription) close() { _ = s.body.Close() }

var insertData = []byte(`data: {"channel":"items","op":"insert"`)

// next returns the next row event's data line.
func (s *subscription) next() ([]byte, error) {
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if bytes.HasPrefix(line, insertData) {
			return line, nil
		}
		if bytes.HasPrefix(line, []byte("event: reset")) || bytes.HasPrefix(line, []byte("event: end")) {
			return nil, fmt.Errorf("stream said %s", line)
		}
	}
}

// skip reads n row events.
func (s *subscription) skip(n int) error {
	for range n {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

// usage reads walrelay's own figures: CPU seconds, heap objects allocated, peak RSS.
func (p *relay) usage(ctx context.Context) (cpu, mallocs float64, peak int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/metrics", nil)
	if err != nil {
		return 0, 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, 0, err
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		name, value, _ := strings.Cut(in.Text(), " ")
		switch name {
		case "go_memstats_mallocs_total":
			mallocs, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, 0, err
		}
	}
	if cpu, err = cpuSeconds(p.cmd.Process.Pid); err != nil {
		return 0, 0, 0, err
	}
	peak, err = peakRSS(p.cmd.Process.Pid)
	return cpu, mallocs, peak, err
}

// cpuSeconds reads utime and stime of /proc/PID/stat (proc(5)), in ticks of 10 ms.
func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(err1, err2)
}

func peakRSS(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb * 1024, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/PID/status")
}
