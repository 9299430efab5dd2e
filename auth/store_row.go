package auth

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/walrelay/walrelay/change"
)

// inCookie stands for the user of rows that do not say who it is: the cookie does, which no
// change of the row can alter.
const inCookie = "\x00cookie"

var (
	errIdentity = errors.New("a row of the store came without its identity")
	errUnsent   = errors.New("a column of the store was not sent")
)

// project makes of a tuple what matters of it, wherever it comes from. cookie is the payload
// of the cookie, nil of tuples from the WAL: it does not change the row. Errors have no
// values in them.
func (s *source) project(st *storeTable, values []change.Value, cookie map[string]any, now time.Time) (row, view, error) {
	var r row
	v := view{table: st, values: values, payload: cookie}
	if len(values) != len(st.rel.Columns) || st.broken != nil {
		return r, v, errNotLearned
	}
	id, ok := appendIdentity(nil, st.identity, values)
	if !ok {
		return r, v, errIdentity
	}
	r.identity = string(id)
	var err error
	if r.key, r.partial, err = keyOf(values[st.key]); err != nil {
		return r, v, err
	}
	if r.fits, err = s.fits(st, values); err != nil {
		return r, v, err
	}
	if st.expiry != nil {
		if r.expires, err = st.expiry.at(values[st.expires]); err != nil {
			return r, v, err
		}
	}
	return s.projectPayload(st, r, v, now)
}

// keyOf is the key's sum; partial: it is an unchanged TOAST value.
func keyOf(v change.Value) (sum [32]byte, partial bool, err error) {
	switch v.Kind {
	case change.Text:
		return keySum(v.Text), false, nil
	case change.Null:
		return sum, false, nil
	case change.Unchanged:
		return sum, true, nil
	}
	return sum, false, errUnsent
}

// projectPayload adds what is in the column with the data.
func (s *source) projectPayload(st *storeTable, r row, v view, now time.Time) (row, view, error) {
	own := view{table: st, values: v.values}
	if st.data >= 0 {
		d, known, err := s.openData(st, v.values[st.data], now)
		if err != nil {
			return r, v, err
		}
		v.payload, own.payload = d.payload, d.payload
		v.unknown, own.unknown = !known, !known
		r.expires = earlier(r.expires, d.expires)
	}
	if own.unsent() {
		return r, v, errUnsent
	}
	var complete, known bool
	r.watched, complete = own.watched()
	r.user, known = own.text(st.user)
	r.hidden = !known
	r.partial = r.partial || !complete
	if st.elsewhere {
		r.user = inCookie
	}
	return r, v, nil
}

// openData reads the payload; known is false when the tuple does not carry it.
func (s *source) openData(st *storeTable, v change.Value, now time.Time) (d decoded, known bool, err error) {
	switch v.Kind {
	case change.Null:
		return decoded{}, true, nil
	case change.Unchanged:
		return decoded{}, false, nil
	case change.Text:
	default:
		return decoded{}, false, errUnsent
	}
	data := v.Text
	if st.binary {
		text, ok := strings.CutPrefix(string(v.Text), `\x`)
		if data, err = hex.DecodeString(text); err != nil || !ok {
			return decoded{}, true, refuse(Malformed, "the payload is not in hex")
		}
	}
	d, err = s.payload(data, now)
	return d, true, err
}

// earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b.UTC()
	}
	return a
}

// fits compares the columns of where with their values, by text.
func (s *source) fits(st *storeTable, values []change.Value) (bool, error) {
	fits, canonical := true, st.canonical.Load()
	for n, i := range st.where {
		switch v := values[i]; v.Kind {
		case change.Null:
			fits = false
		case change.Text:
			t, want := st.rel.Columns[i].Type, s.entry.Store.Where[n].Value
			if canonical != nil {
				want = (*canonical)[n]
			}
			fits = fits && spelling(t, string(v.Text)) == spelling(t, want)
		default:
			return false, errUnsent
		}
	}
	return fits, nil
}

// verdict is what an UPDATE of its row means for a session.
type verdict int

const (
	// unaltered: claims are what they were.
	unaltered verdict = iota
	// altered: claims must be read again.
	altered
	// departed: nobody is signed in any more.
	departed
)

// after judges the row as an UPDATE has left it. What the stream does not carry has not
// changed.
func (was *row) after(now row) verdict {
	switch {
	case !now.hidden && now.user == "":
		return departed
	case !now.hidden && now.user != was.user:
		return altered
	case now.watched == was.watched, now.partial && within(now.watched, was.watched):
		return unaltered
	}
	return altered
}

// within reports whether an object has all that another has, each as it is written.
func within(part, whole string) bool {
	var p, w map[string]json.RawMessage
	if json.Unmarshal([]byte(part), &p) != nil || json.Unmarshal([]byte(whole), &w) != nil {
		return false
	}
	for name, value := range p {
		if other, ok := w[name]; !ok || string(other) != string(value) {
			return false
		}
	}
	return true
}
