package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
)

// minResumeWait is the least that a long poll with an id takes when nothing is
// there: a client that asks with wait=0s again and again would otherwise never give
// the log the time to be read.
const minResumeWait = 500 * time.Millisecond

// answer is a long poll's, collected.
type answer struct {
	runs  []*channel.Run
	lines []byte // the events, separated by commas
	// id is the last one of the events so far, or where the client was before.
	id string
}

// poll gives one answer, as soon as there are events. Its error is for who is signed out before.
func (s *Server) poll(c echo.Context, st *stream, a *ask) error {
	r, w := c.Request(), c.Response()
	reason := endWrite
	defer func() { st.finish(reason) }()
	if a.LastEventID != "" {
		a.wait = max(a.wait, minResumeWait)
	}
	var got answer
	if a.LastEventID != notAnID {
		got.id = a.LastEventID
	}
	switch reason = got.await(r.Context(), st, a.wait); reason {
	case endClient:
		return nil
	case endSigned:
		return auth.ErrNoSession
	case codeDraining:
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusOK)
	if err := got.write(newWire(w.Writer, r, s.opt.WriteTimeout, st.traffic), st.sub); err != nil {
		reason = endOf(r.Context(), err)
	}
	return nil
}

// await collects until there are events, the hub or the server ends the stream, or
// the time is over. A snapshot that is on its way is waited for: without it the client would get the
// same reset again and again. So is a session of which it is not known whether it is over.
func (g *answer) await(ctx context.Context, st *stream, wait time.Duration) (reason string) {
	over := time.NewTimer(wait)
	defer over.Stop()
	late := time.NewTimer(maxWait)
	defer late.Stop()
	for expired := false; ; {
		end, ended := st.sub.Ended()
		held := st.sub.Held()
		g.add(st.sub.Take())
		switch {
		case ended && (end == endSigned || len(g.lines) == 0):
			g.end(end)
			return end
		case !held && (expired || len(g.lines) > 0):
			return endComplete
		}
		select {
		case <-ctx.Done():
			return endClient
		case <-st.drain:
			g.end(codeDraining)
			return codeDraining
		case <-over.C:
			expired = true
		case <-late.C:
			return endComplete
		case <-st.sub.Changed():
		}
	}
}

// add appends events. Ready and heartbeats are none for a long poll: their id is what counts.
func (g *answer) add(runs []*channel.Run) {
	for _, r := range runs {
		for i := range r.Frames {
			e := r.Event(i)
			if e.ID != "" {
				g.id = e.ID
			}
			if e.Name != "ready" && e.Name != "heartbeat" {
				g.event(e)
			}
		}
	}
	g.runs = append(g.runs, runs...)
}

func (g *answer) end(reason string) {
	g.event(channel.Event{Name: endEvent, Data: appendReason(nil, reason)})
}

func (g *answer) event(e channel.Event) {
	if len(g.lines) > 0 {
		g.lines = append(g.lines, ',')
	}
	g.lines = appendEvent(g.lines, e)
}

// write sends the answer. Its last_event_id is the position up to which the client
// is complete with it.
func (g *answer) write(out *wire, sub *leash) error {
	defer out.drop()
	id := sub.LastID()
	if id == "" { // more was queued meanwhile, or has been dropped
		id = g.id
	}
	out.take()
	out.buf = append(out.buf, `{"events":[`...)
	if err := out.add(g.lines); err != nil {
		return err
	}
	out.take()
	out.buf = append(out.buf, `],"last_event_id":`...)
	out.buf = appendString(out.buf, id)
	out.buf = append(out.buf, "}\n"...)
	if err := out.flush(); err != nil {
		return err
	}
	out.traffic.sent(g.runs, time.Now())
	return nil
}
