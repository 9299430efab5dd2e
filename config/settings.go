package config

// read is the whole file; the result counts only when no problem was noted.
func (r *reader) read(data []byte) *Config {
	c := defaults()
	c.File, c.positions = r.file, r.positions
	root := r.document(data)
	if root == nil {
		return nil
	}
	r.lint(root, "")
	top := r.section(root, "", "", Pos{Line: 1, Column: 1})
	r.postgres(top.section("postgres"), &c.Postgres)
	r.log(top.section("log"), &c.Log)
	r.http(top.section("http"), &c.HTTP)
	r.admin(top.section("admin"), c)
	c.Claims = r.claims(top.section("claims"))
	c.Auth = r.auth(top)
	c.Channels = r.channels(top)
	top.done()
	r.checkAuth(c)
	c.Warnings = r.warnings(c)
	return c
}

func (r *reader) postgres(s *section, p *Postgres) {
	s.require("url", "walrelay needs to know its database: url: postgres://user:password@host:5432/database, or url: ${DATABASE_URL}")
	read(s, "url", &p.URL, connString)
	read(s, "slot", &p.Slot, slot)
	read(s, "publication", &p.Publication, publication)
	read(s, "wal_budget", &p.WALBudget, size)
	s.done()
}

func (r *reader) log(s *section, l *Log) {
	read(s, "dir", &l.Dir, text)
	read(s, "retention", &l.Retention, duration)
	read(s, "max_bytes", &l.MaxBytes, size)
	read(s, "max_event_bytes", &l.MaxEventBytes, size)
	s.done()
}

func (r *reader) http(s *section, h *HTTP) {
	read(s, "listen", &h.Listen, listen)
	read(s, "base_path", &h.BasePath, basePath)
	r.tls(s.section("tls"), &h.TLS)
	read(s, "h2c", &h.H2C, boolean)
	if h.H2C && h.TLS.On() {
		r.problem(r.positions["http.h2c"], "http.h2c", "is for plain HTTP behind a proxy; with http.tls, HTTP/2 is on already")
	}
	readList(s, "allowed_origins", &h.AllowedOrigins, origin)
	readList(s, "trusted_proxies", &h.TrustedProxies, network)
	read(s, "heartbeat", &h.Heartbeat, duration)
	read(s, "retry", &h.Retry, duration)
	read(s, "shutdown_timeout", &h.ShutdownTimeout, duration)
	r.limits(s.section("limits"), &h.Limits)
	read(s, "upstream", &h.Upstream, upstream)
	s.done()
}

func (r *reader) tls(s *section, t *TLS) {
	read(s, "cert", &t.Cert, optional)
	read(s, "key", &t.Key, optional)
	if (t.Cert == "") != (t.Key == "") {
		r.problem(s.pos, s.key, "needs both cert and key, or none of them")
	}
	s.done()
}

func (r *reader) limits(s *section, l *Limits) {
	read(s, "connections", &l.Connections, count)
	read(s, "per_user", &l.PerUser, count)
	read(s, "per_session", &l.PerSession, count)
	read(s, "per_ip", &l.PerIP, count)
	read(s, "queue", &l.Queue, size)
	read(s, "channels", &l.Channels, count)
	read(s, "max_scan_audiences", &l.MaxScanAudiences, count)
	read(s, "lookups", &l.Lookups, count)
	read(s, "failed_per_ip", &l.FailedPerMinute, perMinute)
	s.done()
}

func (r *reader) admin(s *section, c *Config) {
	read(s, "listen", &c.Admin.Listen, listen)
	s.done()
	if !sameListener(c.Admin.Listen, c.HTTP.Listen) {
		return
	}
	pos, ok := r.positions["admin.listen"]
	if !ok {
		pos = r.positions["http.listen"]
	}
	r.problem(pos, "admin.listen", "%s is also what http.listen (%s) takes; the admin port must never be the public one",
		c.Admin.Listen, c.HTTP.Listen)
}
