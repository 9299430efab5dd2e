package demo

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// banner tells what runs where.
func (d *demo) banner() {
	s := d.screen
	entry := func(as style, name, text string) {
		s.line(part{dim, fmt.Sprintf("  %-11s", name)}, part{as, text})
	}
	s.line()
	s.line(part{bold, "walrelay demo"}, part{plain, fmt.Sprintf(": Postgres %d, a small shop with tables and writes of its own, and walrelay", d.cluster.Version())})
	s.line()
	entry(bold, "Page", "http://"+d.address.page+"/")
	entry(bold, "Sign in", "http://"+d.address.page+"/list as Ada, and http://"+d.address.beside()+"/list as Grace, side by side")
	entry(plain, "Stream", "curl -N http://"+d.address.page+"/events/orders")
	entry(plain, "Database", "psql "+d.cluster.URL(database))
	entry(plain, "Config", d.configFile())
	s.line()
	if atKeys(d.options.In) {
		entry(plain, "r + Enter", "kills walrelay (SIGKILL) and starts it again: nothing gets lost")
		entry(plain, "q + Enter", "ends and removes everything; so does Ctrl-C")
	} else {
		entry(plain, "Ctrl-C", "ends and removes everything")
	}
	s.line()
	s.say("Row changes as they are committed, as every subscriber gets them:")
	s.line()
}

// atKeys tells whether somebody may type on r.
func atKeys(r io.Reader) bool {
	f, isFile := r.(*os.File)
	return r != nil && (!isFile || term.IsTerminal(int(f.Fd())))
}
