package auth

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	phoenixRounds = 1000
	phoenixHeader = "SFMyNTY" // HS256
	phoenixNames  = 16
)

// phoenix cookies are "SFMyNTY." + base64url(term) + "." + HMAC-SHA256 of all before.
// The session (a map) is signed under a key derived with the endpoint's signing_salt;
// signed cookies such as remember-me ({value, milliseconds, seconds}) under one derived
// with the name of the cookie. Which key fits tells what it is.
type phoenix struct {
	secrets KeyRing
	session KeyRing
	maxAge  time.Duration
	named   *phoenixKeys
}

func newPhoenix(o decodeOptions) (decoder, error) {
	if o.salt == "" {
		return nil, errors.New("salt is missing: give signing_salt of the session in endpoint.ex")
	}
	session, err := phoenixDerive(o.secrets, o.salt)
	return phoenix{secrets: o.secrets, session: session, maxAge: o.maxAge, named: &phoenixKeys{}}, err
}

func phoenixDerive(secrets KeyRing, salt string) (KeyRing, error) {
	return secrets.derive(func(key []byte) ([]byte, error) {
		return pbkdf2.Key(sha256.New, string(key), []byte(salt), phoenixRounds, 32)
	})
}

// phoenixKeys keeps the keys of signed cookies: deriving one takes a millisecond.
type phoenixKeys struct {
	mu sync.Mutex
	// rings by the cookie's name. Invariant: at most phoenixNames, which come from the
	// configuration.
	rings map[string]KeyRing
}

func (p *phoenixKeys) of(name string, secrets KeyRing) (KeyRing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ring, ok := p.rings[name]; ok {
		return ring, nil
	}
	ring, err := phoenixDerive(secrets, name+"_cookie")
	if err != nil {
		return nil, err
	}
	if p.rings == nil || len(p.rings) >= phoenixNames {
		p.rings = map[string]KeyRing{}
	}
	p.rings[name] = ring
	return ring, nil
}

func (p phoenix) decode(c cookie, _ time.Time) (decoded, error) {
	value, err := unescape(c.value)
	if err != nil {
		return decoded{}, err
	}
	signed, signature, _ := cutLast(value, ".")
	header, body, ok := strings.Cut(signed, ".")
	if !ok || header != phoenixHeader {
		return decoded{}, refuse(Malformed, "it is not signed with HS256 (encrypted sessions are not read)")
	}
	if _, ok := p.session.find(sha256.New, base64.RawURLEncoding.EncodeToString, signature, signed); ok {
		return phoenixSession(body)
	}
	named, err := p.named.of(c.name, p.secrets)
	if err != nil {
		return decoded{}, err
	}
	if _, ok := named.find(sha256.New, base64.RawURLEncoding.EncodeToString, signature, signed); ok {
		return p.remembered(body)
	}
	return decoded{}, refuse(BadSignature, "no secret has made its signature with this salt")
}

func phoenixTerm(body string) (any, error) {
	data, err := unbase64(urlBase64, body)
	if err != nil {
		return nil, err
	}
	return parseTerm(data)
}

func phoenixSession(body string) (decoded, error) {
	v, err := phoenixTerm(body)
	if err != nil {
		return decoded{}, err
	}
	payload, ok := v.(map[string]any)
	if !ok {
		return decoded{}, refuse(Malformed, "the session is not a map")
	}
	return decoded{payload: payload}, nil
}

// remembered reads {value, when in ms, max age in s}.
func (p phoenix) remembered(body string) (decoded, error) {
	v, err := phoenixTerm(body)
	if err != nil {
		return decoded{}, err
	}
	parts, ok := v.([]any)
	if !ok || len(parts) != 3 {
		return decoded{}, refuse(Malformed, "the signed value is not {value, time, max age}")
	}
	key, ok := textOf(parts[0])
	ms, inRange := boundedInt(parts[1])
	if !ok || !inRange {
		return decoded{}, refuse(Malformed, "the signed value is not {value, time, max age}")
	}
	out := decoded{key: []byte(key), issued: time.UnixMilli(ms)}
	out.expires, err = p.expiry(out.issued, parts[2])
	return out, err
}

// expiry is the earlier one of the cookie's own limit and the configured one.
func (p phoenix) expiry(issued time.Time, own any) (time.Time, error) {
	var expires time.Time
	if own != "infinity" {
		seconds, ok := boundedInt(own)
		if !ok {
			return time.Time{}, refuse(Malformed, "the signed value is not {value, time, max age}")
		}
		expires = issued.Add(time.Duration(min(seconds, maxSeconds)) * time.Second)
	}
	if limit := issued.Add(p.maxAge); p.maxAge > 0 && (expires.IsZero() || limit.Before(expires)) {
		expires = limit
	}
	return expires, nil
}

// maxSeconds is about 100 years: what is longer does not fit a time.Duration for long.
const maxSeconds = 100 * 366 * 24 * 60 * 60

// boundedInt is a whole number of at most 15 digits, not negative.
func boundedInt(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 15 {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil && i >= 0
}
