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

// relay is a walrelay process.
type relay struct {
	cmd         *exec.Cmd
	base, admin string // URLs without a trailing /
	data        string // directory of the log
	stderr      bytes.Buffer
}

// relayConfig is what differs between the measurements.
type relayConfig struct {
	slot, publication string
	channels          string // the YAML section's lines, indented by two
	log, http         string // further keys of these sections, each with ", " before it
	more              string // further sections
}

// itemsRelay has one channel, items.
func itemsRelay(slot string) relayConfig {
	return relayConfig{slot: slot, publication: "bench", channels: "  items:\n    table: public.items\n    columns: \"*\"\n    allow: public\n"}
}

func (l *lab) startRelay(ctx context.Context, c relayConfig) (*relay, error) {
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
	file, data := filepath.Join(dir, "walrelay.yaml"), filepath.Join(dir, "data")
	yaml := fmt.Sprintf("postgres: {url: %q, slot: %s, publication: %s}\nlog: {dir: %q%s}\nhttp: {listen: %q, limits: {per_ip: 1000000, failed_per_ip: 1000000/min}%s}\nadmin: {listen: %q}\nchannels:\n%s%s",
		l.cluster.URL("postgres"), c.slot, c.publication, data, c.log, public, c.http, admin, c.channels, c.more)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	p := &relay{base: "http://" + public, admin: "http://" + admin, data: data}
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
	row  []byte // how the line of a row begins
}

// subscribe asks until the stream is live; from is a last event id or empty.
func (p *relay) subscribe(ctx context.Context, channel, from string) (*subscription, error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/events/"+channel, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Last-Event-ID", from)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		s := &subscription{resp.Body, bufio.NewReaderSize(resp.Body, 256<<10), []byte(`data: {"channel":"` + channel + `","op":"insert"`)}
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

// next returns the next row event's data line.
func (s *subscription) next() ([]byte, error) {
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if bytes.HasPrefix(line, s.row) {
			return line, nil
		}
		if bytes.HasPrefix(line, []byte("event: reset")) || bytes.HasPrefix(line, []byte("event: end")) {
			said := string(line)
			if line, err = s.in.ReadSlice('\n'); err == nil {
				said += string(line)
			}
			return nil, fmt.Errorf("stream said %s", said)
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
	figures, err := p.metrics(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	if cpu, err = p.cpu(); err != nil {
		return 0, 0, 0, err
	}
	peak, err = peakRSS(p.cmd.Process.Pid)
	return cpu, figures["go_memstats_mallocs_total"], peak, err
}

func (p *relay) cpu() (float64, error) { return cpuSeconds(p.cmd.Process.Pid) }

// metrics reads /metrics: values by name with labels, as they are written there.
func (p *relay) metrics(ctx context.Context) (map[string]float64, error) {
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			return nil, fmt.Errorf("metrics: unexpected line %q", line)
		}
		if out[line[:i]], err = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return out, nil
}

// get reads from the admin listener.
func (p *relay) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
