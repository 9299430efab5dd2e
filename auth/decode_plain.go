package auth

import "time"

// plain cookies are the key of the session itself, or what it is hashed from: Django,
// Auth.js with a database, Lucia, scs, activerecord-session_store.
type plain struct{}

func newPlain(decodeOptions) (decoder, error) { return plain{}, nil }

func (plain) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return decoded{}, refuse(Malformed, "the value has bytes that no key has")
		}
	}
	return decoded{key: []byte(value)}, nil
}
