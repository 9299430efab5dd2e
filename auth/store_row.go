package auth

import (
	"encoding/hex"
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
	errWhere    = errors.New("a column of where was not sent")
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
	if key := values[st.key]; key.Kind == change.Text {
		r.key = keySum(key.Text)
	} else if key.Kind != change.Null {
		r.partial = true
	}
	var err error
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
	var complete bool
	if r.watched, complete = own.watched(); !complete {
		r.partial = true
	}
	r.user, _ = own.text(st.user)
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
	case change.Text:
	default:
		return decoded{}, false, nil
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
			return false, errWhere
		}
	}
	return fits, nil
}
