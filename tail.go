package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/config"
)

func newTailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail CHANNEL...",
		Short: "Print the events of channels as they happen",
		Long: "Subscribes to channels of a running walrelay and prints every event once, also over restarts of walrelay.\n" +
			"The address comes from the configuration file, or from --url. With --as it is the admin address, which asks for no session.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("tail: requires at least 1 argument, the name of a channel: walrelay tail orders")
			}
			return nil
		},
	}
	path := configFlag(cmd)
	t := &tailer{out: os.Stdout, status: os.Stderr}
	cmd.Flags().StringVar(&t.base, "url", "", "address of the stream, for example http://127.0.0.1:8080/events (default: from the configuration)")
	cmd.Flags().StringVar(&t.as, "as", "", "be the user with these `CLAIMS`, such as '{\"id\":42}', through the admin address")
	cmd.Flags().BoolVar(&t.json, "json", false, "print the events as JSON, one a line")
	cmd.Flags().StringVar(&t.lastID, "from", "", "begin behind this event `ID` or at this LSN (default: now)")
	cmd.Flags().IntVar(&t.count, "count", 0, "stop after `N` events; those of one row come together (default: never)")
	cmd.RunE = func(cmd *cobra.Command, channels []string) error {
		if t.as != "" && !isObject(t.as) {
			return fmt.Errorf("tail: --as %s: must be a JSON object with the user's claims, such as '{\"id\":42}'", t.as)
		}
		if t.base == "" {
			cfg, err := config.Load(*path, os.LookupEnv)
			if err != nil {
				return err
			}
			if err := t.locate(cfg); err != nil {
				return fmt.Errorf("tail: %w", err)
			}
		}
		if t.count < 0 {
			return fmt.Errorf("tail: --count %d: must be a number of events, or 0 for no end", t.count)
		}
		if u, err := url.Parse(t.base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("tail %s: not an address; --url is like http://127.0.0.1:8080/events", t.base)
		}
		t.channels = channels
		return t.run(cmd.Context())
	}
	return cmd
}

// isObject reports whether the text is a JSON object.
func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}

// locate finds the stream in the configuration.
func (t *tailer) locate(cfg *config.Config) (err error) {
	if t.as != "" {
		t.base = adminURL(cfg) + cfg.HTTP.BasePath
		return nil
	}
	t.base = streamURL(cfg)
	if cfg.HTTP.TLS.On() {
		t.client, err = pinned(cfg.HTTP.TLS.Cert)
	}
	return err
}

// streamURL is where a local client reaches the configured server.
func streamURL(cfg *config.Config) string {
	scheme := "http"
	if cfg.HTTP.TLS.Cert != "" {
		scheme = "https"
	}
	return scheme + "://" + localAddress(cfg.HTTP.Listen) + cfg.HTTP.BasePath
}

// adminURL is where a local client reaches the admin server.
func adminURL(cfg *config.Config) string { return "http://" + localAddress(cfg.Admin.Listen) }

// localAddress is where a local client reaches a listener.
func localAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// pinned makes a client for the configured server itself: it must show the certificate
// in that file, for whatever names it was made.
func pinned(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read http.tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read http.tls.cert: %s has no certificate in PEM form", file)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection takes one certificate only
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return &finalError{"the server there does not show the certificate of " + file + "; restart walrelay if the file was renewed, or name the server with --url"}
			}
			return nil
		},
	}
	return &http.Client{Transport: transport}, nil
}

// tailer is a subscriber on the terminal.
type tailer struct {
	base     string
	client   *http.Client // nil: the default one
	channels []string
	as       string // claims as JSON; empty for nobody
	lastID   string
	json     bool
	count    int
	out      io.Writer
	status   io.Writer

	// held are lines of events whose position goes on in the next event: they carry no
	// id, so after a cut they come again. They are printed with the one that has the id.
	held [][]byte
	// heldRows and printed count events, without resets and snapshots.
	heldRows, printed int
	// told: the user knows that there is no stream.
	told bool
}

// tailEvent is one line of the ndjson stream.
type tailEvent struct {
	Event       string            `json:"event"`
	ID          string            `json:"id"`
	Channel     string            `json:"channel"`
	Key         json.RawMessage   `json:"key"`
	Row         json.RawMessage   `json:"row"`
	Data        json.RawMessage   `json:"data"`
	Rows        []json.RawMessage `json:"rows"`
	First, Last bool
	Reason      string `json:"reason"`
	Resumed     bool   `json:"resumed"`
	Position    string `json:"position"`
	Error       string `json:"error"`
	Message     string `json:"message"`
	Tx          struct {
		At time.Time `json:"at"`
	} `json:"tx"`
}

var errTailDone = errors.New("count reached")

// finalError is an answer that will not change by asking again.
type finalError struct{ msg string }

func (e *finalError) Error() string { return e.msg }

// run subscribes again and again until ctx ends or the answer is final.
func (t *tailer) run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for {
		began := time.Now()
		err := t.follow(ctx)
		t.held, t.heldRows = nil, 0
		var final *finalError
		switch {
		case ctx.Err() != nil || errors.Is(err, errTailDone):
			return nil
		case errors.As(err, &final):
			return err
		}
		if time.Since(began) > time.Second {
			wait = 100 * time.Millisecond
		}
		if !t.told {
			fmt.Fprintf(t.status, "tail: no stream, trying again: %v\n", err)
			t.told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// follow reads one stream to its end.
func (t *tailer) follow(ctx context.Context) error {
	q := url.Values{"channel": t.channels}
	if t.as != "" {
		q.Set("as", t.as)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+"?"+q.Encode(), nil)
	if err != nil {
		return &finalError{fmt.Sprintf("tail %s: %v", t.base, err)}
	}
	req.Header.Set("Accept", "application/x-ndjson")
	if t.lastID != "" {
		req.Header.Set("Last-Event-ID", t.lastID)
	}
	resp, err := cmp.Or(t.client, http.DefaultClient).Do(req)
	if err != nil {
		return untrusted(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return t.refused(resp)
	}
	lines := bufio.NewReaderSize(resp.Body, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		if err := t.line(line); err != nil {
			return err
		}
	}
}

// untrusted makes a certificate that is not trusted final: it stays what it is.
func untrusted(err error) error {
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) {
		return &finalError{fmt.Sprintf("tail: %v; fix: name the server as its certificate does, or leave out --url where the configuration file is at hand", err)}
	}
	return err
}

func (t *tailer) refused(resp *http.Response) error {
	var e tailEvent
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // what arrived is what there is to say
	if json.Unmarshal(body, &e) != nil || e.Message == "" {
		e.Message = resp.Status
	}
	msg := fmt.Sprintf("tail %s: %s", strings.Join(t.channels, " "), e.Message)
	if resp.StatusCode == http.StatusUnauthorized && t.as == "" {
		msg += "; or be somebody, through the admin address: walrelay tail --as '{\"id\":42}' " + strings.Join(t.channels, " ")
	}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		return errors.New(msg)
	}
	return &finalError{msg}
}

func (t *tailer) line(line []byte) error {
	var e tailEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("unreadable event %.80q: %w", line, err)
	}
	switch e.Event {
	case "heartbeat":
		if e.ID == "" { // has none while events are on their way
			return nil
		}
		return t.print(e.ID)
	case "ready", "end":
		t.control(&e)
		return nil
	}
	t.held = append(t.held, t.format(&e, line))
	if e.Event != "reset" && e.Event != "snapshot" {
		t.heldRows++
	}
	if e.ID == "" {
		return nil
	}
	return t.print(e.ID)
}

// print writes what is held: it is complete up to id.
func (t *tailer) print(id string) error {
	for _, l := range t.held {
		if _, err := t.out.Write(l); err != nil {
			return &finalError{fmt.Sprintf("tail: write output: %v", err)}
		}
	}
	t.printed += t.heldRows
	t.held, t.heldRows, t.lastID = t.held[:0], 0, id
	if t.count > 0 && t.printed >= t.count {
		return errTailDone
	}
	return nil
}

func (t *tailer) control(e *tailEvent) {
	switch {
	case e.Event == "end":
		fmt.Fprintf(t.status, "tail: stream ended by walrelay: %s\n", e.Reason)
		t.told = true
	case e.Resumed:
		fmt.Fprintf(t.status, "tail: resumed at %s\n", e.ID)
	default:
		fmt.Fprintf(t.status, "tail: live at %s\n", e.Position)
	}
	if e.Event == "ready" {
		t.told = false
		if e.ID != "" {
			t.lastID = e.ID
		}
	}
}

// format renders one event as a line.
func (t *tailer) format(e *tailEvent, line []byte) []byte {
	if t.json {
		return append([]byte(nil), line...)
	}
	if e.Event == "reset" {
		return fmt.Appendf(nil, "%-15s %-20s reset    forget the rows of this channel: %s\n", time.Now().UTC().Format("15:04:05.000000"), e.Channel, e.Reason)
	}
	if e.Event == "snapshot" {
		return e.appendRows(nil)
	}
	out := fmt.Appendf(nil, "%-15s %-20s %-8s", e.Tx.At.UTC().Format("15:04:05.000000"), e.Channel, e.Event)
	for _, part := range []json.RawMessage{e.Key, e.Row, e.Data} { // those that the event has
		if part != nil {
			out = append(append(out, ' '), part...)
		}
	}
	return append(out, '\n')
}

// appendRows renders the rows of a snapshot, a line each.
func (e *tailEvent) appendRows(dst []byte) []byte {
	if len(e.Rows) == 0 && e.First && e.Last {
		return fmt.Appendf(dst, "%-15s %-20s snapshot no rows\n", "", e.Channel)
	}
	for _, row := range e.Rows {
		dst = fmt.Appendf(dst, "%-15s %-20s snapshot %s\n", "", e.Channel, row)
	}
	return dst
}
