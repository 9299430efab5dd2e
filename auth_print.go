package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/config"
)

// printAuth prints the entries with their presets and defaults filled in, in the words of
// the file.
func printAuth(out io.Writer, cfg *config.Config, env func(string) (string, bool)) {
	if len(cfg.Auth) == 0 {
		fmt.Fprintln(out, "there is no auth: only public channels can be read")
	}
	for i, e := range cfg.Auth {
		if i > 0 {
			fmt.Fprintln(out)
		}
		p := &authPrinter{out: out, env: env}
		fmt.Fprintf(out, "# %s:%s\n%s:\n", cfg.File, cfg.Pos(e.Key), e.Key)
		switch {
		case e.Session != nil:
			p.session(e.Session)
		case e.Forward != nil:
			p.forward(e.Forward)
		default:
			p.anonymous(e.Anonymous)
		}
	}
}

// authPrinter writes keys in the order of the documentation. Keys without a value are left out.
type authPrinter struct {
	out    io.Writer
	env    func(string) (string, bool)
	indent string
}

func (p *authPrinter) line(key, value string) {
	if value != "" {
		fmt.Fprintf(p.out, "  %s%s: %s\n", p.indent, key, value)
	}
}

// in writes a key that holds keys.
func (p *authPrinter) in(key string, body func()) {
	fmt.Fprintf(p.out, "  %s%s:\n", p.indent, key)
	p.indent += "  "
	body()
	p.indent = p.indent[2:]
}

func (p *authPrinter) text(key, value string) {
	if value != "" {
		p.line(key, printable(value))
	}
}

func (p *authPrinter) list(key string, values []string) {
	if len(values) > 0 {
		p.line(key, flowList(values))
	}
}

func (p *authPrinter) time(key string, d time.Duration) {
	if d != 0 {
		p.line(key, shortDuration(d))
	}
}

// secrets writes where secrets come from, and never what they are.
func (p *authPrinter) secrets(key string, refs []string) {
	if len(refs) == 0 {
		return
	}
	p.in(key, func() {
		for _, ref := range refs {
			state := "set"
			if _, err := auth.LoadKeyRing([]string{ref}, p.env); err != nil {
				state = "NOT SET"
				if strings.HasPrefix(ref, "file:") {
					state = "CANNOT BE READ"
				}
			}
			fmt.Fprintf(p.out, "  %s- [secret] # %s, %s\n", p.indent, printable(ref), state)
		}
	})
}

func (p *authPrinter) session(e *auth.SessionEntry) {
	if e.Preset != "" {
		p.line("preset", e.Preset+" # filled in below")
	}
	if e.Bearer {
		p.line("bearer", "true")
	}
	p.list("cookie", e.Cookies)
	p.decoder(e)
	p.text("from", e.From)
	if e.Store != nil {
		p.in("store", func() { p.store(e.Store) })
	}
	p.text("user", e.User)
	p.text("check", e.Check)
	p.claims(e.Claims)
	if len(e.Depends) > 0 {
		p.in("depends", func() {
			for _, d := range e.Depends {
				fmt.Fprintf(p.out, "  %s- {table: %s, key: %s}\n", p.indent, printable(d.Schema+"."+d.Table), printable(d.Key))
			}
		})
	}
	p.text("timezone", e.Timezone)
	p.time("max_stream", e.MaxStream)
	p.time("revalidate", e.Revalidate)
	p.time("negative_ttl", e.NegativeTTL)
	p.time("stream_past_exp", e.StreamPastExp)
}

func (p *authPrinter) decoder(e *auth.SessionEntry) {
	p.text("decode", e.Decode)
	p.secrets("secrets", e.Secrets)
	p.secrets("encryption", e.Encryption)
	p.text("encoding", e.Encoding)
	p.text("salt", e.Salt)
	p.text("kdf", e.KDF)
	p.text("digest", e.Digest)
	p.text("issuer", e.Issuer)
	p.list("audience", e.Audience)
	p.list("algorithms", e.Algorithms)
	p.time("max_age", e.MaxAge)
	p.url("jwks", e.JWKS)
}

// url writes an address without what may be a key in it.
func (p *authPrinter) url(key string, u *url.URL) {
	if u == nil {
		return
	}
	bare := *u
	bare.User = nil
	if bare.RawQuery != "" {
		bare.RawQuery = "..."
	}
	p.line(key, comment(bare.String()))
}

func (p *authPrinter) store(s *auth.Store) {
	p.text("table", s.Schema+"."+s.Table)
	p.text("key", s.Key)
	p.text("hash", s.Hash)
	if len(s.Where) > 0 {
		var parts []string
		for _, w := range s.Where {
			parts = append(parts, printable(w.Column)+": "+printable(w.Value))
		}
		p.line("where", "{"+strings.Join(parts, ", ")+"}")
	}
	p.expires(s.Expires)
	if s.Data != nil {
		p.line("data", "{column: "+printable(s.Data.Column)+", format: "+s.Data.Format+"}")
	}
	p.list("watch", s.Watch)
}

func (p *authPrinter) expires(x *auth.Expires) {
	switch {
	case x == nil:
	case x.Unit == "" && x.Plus == 0:
		p.text("expires", x.Column)
	default:
		text := "{column: " + printable(x.Column)
		if x.Unit != "" {
			text += ", unit: " + x.Unit
		}
		if x.Plus != 0 {
			text += ", plus: " + shortDuration(x.Plus)
		}
		p.line("expires", text+"}")
	}
}

func (p *authPrinter) claims(c auth.ClaimSource) {
	switch {
	case c.SQL != "":
		p.in("claims", func() {
			for line := range strings.Lines(c.SQL) {
				fmt.Fprintf(p.out, "  %s%s\n", p.indent, comment(strings.TrimRight(line, "\n")))
			}
		})
	case len(c.Paths) > 0:
		p.line("claims", flowMap(c.Paths))
	case len(c.Headers) > 0:
		p.line("headers", flowMap(c.Headers))
	default:
		p.line("claims", "# none: the claim id is the user")
	}
}

func (p *authPrinter) forward(e *auth.ForwardEntry) {
	p.in("forward", func() {
		p.url("url", e.URL)
		p.list("cookies", e.Cookies)
		p.line("bearer", strconv.FormatBool(e.Bearer))
		p.text("user", e.User)
		p.claims(e.Claims)
		p.line("pass_set_cookie", strconv.FormatBool(e.PassSetCookie))
		p.time("timeout", e.Timeout)
		p.time("max_stream", e.MaxStream)
	})
}

func (p *authPrinter) anonymous(e *auth.AnonymousEntry) {
	if len(e.Claims) == 0 {
		p.line("anonymous", "{}")
		return
	}
	p.in("anonymous", func() { p.line("claims", comment(string(e.Claims))) })
}

func flowList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = printable(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func flowMap(m map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, printable(name)+": "+printable(m[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// printable is a text as YAML has it, in quotes where it could be taken for something else.
func printable(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '.' && r != '-' && r != '/' && r != ':' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, ":") {
		return s
	}
	return strconv.Quote(s)
}

// shortDuration is 1h for 1h0m0s, and 14d for 336h.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
