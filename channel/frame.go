package channel

import (
	"bytes"
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Run is a piece of a view's sequence: SSE frames, rendered once, shared by all
// subscribers of the view. Immutable but for its forms.
type Run struct {
	// Bytes are the frames one after the other, each
	//
	//	event: insert\ndata: {…}\nid: 0/16B3748.3.k7x2mq\n\n
	//
	// where the id line is absent in all but the last frame of a position.
	Bytes  []byte
	Frames []Frame
	// Commit is the commit time of the oldest change, zero for control events.
	Commit time.Time
	// forms are nil as long as nobody has asked for one.
	forms atomic.Pointer[forms]
}

// Frame locates one event in Run.Bytes. It holds no pointers, so that the collector
// passes over the frames of a run.
type Frame struct {
	At change.Position
	// End is the offset behind the frame; it begins where the one before ends.
	End uint32
	// Data and DataEnd delimit the JSON.
	Data, DataEnd uint32
	Kind          EventKind
	HasID         bool
}

// idAt is the offset of the id line in place of the blank line behind the data.
func (f *Frame) idAt() uint32 { return f.DataEnd + 1 }

// EventKind is the name of an event in one byte.
type EventKind uint8

// The kinds of events.
const (
	EventInsert EventKind = iota
	EventUpdate
	EventDelete
	EventMessage
	EventReset
	EventReady
	EventSnapshot
	// EventHeartbeat has an id and no data: browsers dispatch nothing.
	EventHeartbeat
)

var eventNames = [...]string{"insert", "update", "delete", "message", "reset", "ready", "snapshot", "heartbeat"}

// String is the name in the SSE event field.
func (k EventKind) String() string { return eventNames[k] }

// Event is one event of a run for transports other than SSE.
type Event struct {
	// Name is insert, update, delete, reset, ready, message, …
	Name string
	// ID is the event id, empty where none is sent.
	ID string
	// Data is a JSON object; it must not be changed.
	Data []byte
}

// Event returns the i-th event of the run.
func (r *Run) Event(i int) Event {
	f := &r.Frames[i]
	e := Event{Name: f.Kind.String(), Data: r.Bytes[f.Data:f.DataEnd]}
	if f.HasID {
		e.ID = string(bytes.TrimPrefix(bytes.TrimSpace(r.Bytes[f.DataEnd:f.End]), []byte("id: ")))
	}
	return e
}

func (r *Run) first() change.Position { return r.Frames[0].At }
func (r *Run) last() change.Position  { return r.Frames[len(r.Frames)-1].At }

// after returns the part of the run behind p, nil when there is none.
func (r *Run) after(p change.Position) *Run {
	n := sort.Search(len(r.Frames), func(i int) bool { return p.Less(r.Frames[i].At) })
	if n == len(r.Frames) {
		return nil
	}
	if n == 0 {
		return r
	}
	cut := r.Frames[n-1].End
	out := &Run{Bytes: r.Bytes[cut:], Frames: make([]Frame, len(r.Frames)-n), Commit: r.Commit}
	for i, f := range r.Frames[n:] {
		f.End, f.Data, f.DataEnd = f.End-cut, f.Data-cut, f.DataEnd-cut
		out.Frames[i] = f
	}
	return out
}

// runBuffer collects frames; its memory is reused from run to run.
type runBuffer struct {
	buf    []byte
	frames []Frame
	commit time.Time
}

// add appends a frame. An earlier frame of the same position loses its id.
func (b *runBuffer) add(kind EventKind, data []byte, at change.Position, tag string) {
	if n := len(b.frames); n > 0 && b.frames[n-1].At == at {
		b.dropLastID()
	}
	b.event(kind, data, at)
	f := &b.frames[len(b.frames)-1]
	b.buf = EventID{at, tag}.AppendFrame(b.buf[:f.idAt()])
	f.End, f.HasID = uint32(len(b.buf)), true
}

// event appends a frame without id.
func (b *runBuffer) event(kind EventKind, data []byte, at change.Position) {
	b.buf = append(b.buf, "event: "...)
	b.buf = append(b.buf, eventNames[kind]...)
	b.buf = append(b.buf, "\ndata: "...)
	from := len(b.buf)
	b.buf = append(b.buf, data...)
	end := len(b.buf)
	b.buf = append(b.buf, "\n\n"...)
	b.frames = append(b.frames, Frame{At: at, End: uint32(len(b.buf)), Data: uint32(from), DataEnd: uint32(end), Kind: kind})
}

func (b *runBuffer) dropLastID() {
	f := &b.frames[len(b.frames)-1]
	if f.HasID {
		b.buf = append(b.buf[:f.idAt()], '\n')
		f.End, f.HasID = uint32(len(b.buf)), false
	}
}

// idOnly appends a frame that says no more than that everything up to at is known.
func (b *runBuffer) idOnly(at change.Position, tag string) {
	from := len(b.buf)
	b.buf = EventID{at, tag}.AppendFrame(b.buf)
	b.frames = append(b.frames, Frame{At: at, End: uint32(len(b.buf)), Data: uint32(from), DataEnd: uint32(from), Kind: EventHeartbeat, HasID: true})
}

// dropAt takes back the frames at a position, which are the last ones, and returns how many
// bytes they had.
func (b *runBuffer) dropAt(at change.Position) (bytes int) {
	n := len(b.frames)
	for n > 0 && b.frames[n-1].At == at {
		n--
	}
	end := 0
	if n > 0 {
		end = int(b.frames[n-1].End)
	}
	bytes = len(b.buf) - end
	b.frames, b.buf = b.frames[:n], b.buf[:end]
	return bytes
}

// load fills an empty buffer with the frames of a run.
func (b *runBuffer) load(r *Run) {
	b.buf, b.frames, b.commit = append(b.buf, r.Bytes...), append(b.frames, r.Frames...), r.Commit
}

// seal returns the frames as a run and empties the buffer.
func (b *runBuffer) seal() *Run {
	r := newRun(len(b.frames), len(b.buf))
	copy(r.Frames, b.frames)
	copy(r.Bytes, b.buf)
	r.Commit = b.commit
	b.buf, b.frames, b.commit = b.buf[:0], b.frames[:0], time.Time{}
	return r
}

// newRun makes a run of so many frames and bytes. One of a single frame, as most are where every
// user is an audience, is one piece of memory, unless it is large. The sizes are such that little of
// what Go sets apart for them is left over.
func newRun(frames, bytes int) *Run {
	switch {
	case frames != 1 || bytes > 648:
		return &Run{Bytes: make([]byte, bytes), Frames: make([]Frame, frames)}
	case bytes <= 144:
		b := &block[[144]byte]{}
		return b.with(b.text[:bytes])
	case bytes <= 272:
		b := &block[[272]byte]{}
		return b.with(b.text[:bytes])
	case bytes <= 400:
		b := &block[[400]byte]{}
		return b.with(b.text[:bytes])
	}
	b := &block[[648]byte]{}
	return b.with(b.text[:bytes])
}

// block is the memory of a run with one frame.
type block[T any] struct {
	Run
	frame [1]Frame
	text  T
}

func (b *block[T]) with(text []byte) *Run {
	b.Bytes, b.Frames = text, b.frame[:]
	return &b.Run
}

// appendAt appends a commit time as to_jsonb writes a timestamptz in UTC, always
// with six digits of fraction.
func appendAt(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000+00:00")
}

// appendTx appends ,"tx":{"xid":771,"at":"…"}.
func appendTx(dst []byte, tx change.Tx) []byte {
	dst = append(dst, `,"tx":{"xid":`...)
	dst = strconv.AppendUint(dst, uint64(tx.XID), 10)
	dst = append(dst, `,"at":"`...)
	dst = appendAt(dst, tx.At())
	return append(dst, `"}`...)
}
