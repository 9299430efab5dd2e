package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gorilla/securecookie"
)

const secureMaxAge = 30 * 24 * time.Hour // of sessions.NewCookieStore and of securecookie

// secure cookies are gorilla/securecookie's: base64url of "seconds|base64url(body)|MAC",
// where body is a gob or JSON, AES-CTR encrypted when there is a block key, and the MAC
// (HMAC-SHA256) covers the cookie's name. CookieStore puts the session into the cookie,
// pgstore its id (a string) and, with the same codec, the session into a column.
type secure struct {
	// codecs are SecureCookie.Decode of each key; the structures would show the keys to
	// whoever prints them.
	codecs []func(name, value string, dst any) error
	maxAge time.Duration
}

func newSecureCookie(o decodeOptions) (decoder, error) {
	if n := len(o.encryption); n > 0 && n != len(o.secrets) {
		return nil, errors.New("encryption needs one block key for each secret, in the same order")
	}
	d := secure{maxAge: orAge(o.maxAge, secureMaxAge)}
	for i, hashKey := range o.secrets {
		var blockKey []byte
		if len(o.encryption) > 0 {
			blockKey = o.encryption[i].bytes()
			if n := len(blockKey); n != 16 && n != 24 && n != 32 {
				return nil, fmt.Errorf("encryption %d has %d bytes: a block key has 16, 24 or 32 (see encoding)", i+1, n)
			}
		}
		// The clock is ours (MaxAge 0), and so is what reads the body.
		codec := securecookie.New(hashKey.bytes(), blockKey).MaxAge(0).MaxLength(maxInflated)
		d.codecs = append(d.codecs, codec.SetSerializer(securecookie.NopEncoder{}).Decode)
	}
	return d, nil
}

func (d secure) decode(c cookie, _ time.Time) (decoded, error) {
	body, err := d.open(c)
	if err != nil {
		return decoded{}, err
	}
	issued, err := secureStamp(c.value)
	if err != nil {
		return decoded{}, err
	}
	out := decoded{issued: issued, expires: issued.Add(d.maxAge)}
	v, err := secureBody(body)
	if err != nil {
		return decoded{}, err
	}
	switch v := v.(type) {
	case map[string]any:
		out.payload = v
	case string:
		out.key = []byte(v)
	default:
		return decoded{}, refuse(Malformed, "the payload is neither a key nor a map")
	}
	return out, nil
}

// open tries every codec; that one signature fits is decided before anything is decrypted.
func (d secure) open(c cookie) ([]byte, error) {
	reason := refuse(BadSignature, "no secret has made its MAC")
	for _, codec := range d.codecs {
		var body []byte
		err := codec(c.name, c.value, &body)
		if err == nil {
			return body, nil
		}
		if !errors.Is(err, securecookie.ErrMacInvalid) {
			reason = refuse(Malformed, "it is not a securecookie, or the block key is wrong")
		}
	}
	return nil, reason
}

// secureStamp reads the seconds of a value whose MAC was right.
func secureStamp(value string) (time.Time, error) {
	raw, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		return time.Time{}, refuse(Malformed, "it is not base64")
	}
	text, _, _ := bytes.Cut(raw, []byte("|"))
	seconds, err := strconv.ParseUint(string(text), 10, 40)
	if err != nil {
		return time.Time{}, refuse(Malformed, "its time is not a number")
	}
	return time.Unix(int64(seconds), 0), nil
}

// secureBody tells gob and JSON apart: a gob of a map or a string has a zero byte, JSON
// never has.
func secureBody(body []byte) (any, error) {
	if bytes.IndexByte(body, 0) >= 0 {
		return parseGob(body)
	}
	return parseJSON(body)
}
