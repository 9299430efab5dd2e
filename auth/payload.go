package auth

import (
	"fmt"
	"time"
)

// payloadDecoder reads the payload that a store keeps in a column. Immutable, safe for
// concurrent use, bounded like a decoder.
type payloadDecoder interface {
	// decodePayload reads data, the column's value (of bytea the bytes), of a session
	// whose cookie is called name. Only payload and expires of the answer are set.
	decodePayload(name string, data []byte, now time.Time) (decoded, error)
}

// newPayloadDecoder makes what `format:` of a store's `data:` means.
func newPayloadDecoder(format string, o decodeOptions) (payloadDecoder, error) {
	switch format {
	case "json":
		return payloadFunc(payloadJSON), nil
	case "scs":
		return payloadFunc(payloadSCS), nil
	case "django-unverified":
		return payloadFunc(payloadDjango), nil
	case "django":
		return sealedPayload(format, o, func(o decodeOptions) (decoder, error) {
			o.maxAge = 0
			return djangoWith(o, djangoStoreSalt)
		})
	case "securecookie":
		return sealedPayload(format, o, newSecureCookie)
	}
	return nil, fmt.Errorf("format: %q is unknown (known: django, django-unverified, json, scs, securecookie)", format)
}

// payloadFunc is a format without keys.
type payloadFunc func(data []byte) (decoded, error)

func (f payloadFunc) decodePayload(_ string, data []byte, now time.Time) (d decoded, err error) {
	defer caught(&err)
	if len(data) > maxInflated {
		return decoded{}, refuse(TooLarge, "the payload is longer than 256 KiB")
	}
	d, err = f(data)
	if err != nil {
		return decoded{}, err
	}
	return checkedPayload(d, now)
}

// payloadCodec is a format that is signed like a cookie.
type payloadCodec struct{ inner decoder }

func sealedPayload(format string, o decodeOptions, build func(decodeOptions) (decoder, error)) (payloadDecoder, error) {
	if len(o.secrets) == 0 {
		return nil, fmt.Errorf("format: %s: secrets are missing: the payload is signed with the application's secret", format)
	}
	var err error
	if o.secrets, err = o.secrets.decoded(o.encoding); err != nil {
		return nil, fmt.Errorf("format: %s: %w", format, err)
	}
	if o.encryption, err = o.encryption.decoded(o.encoding); err != nil {
		return nil, fmt.Errorf("format: %s: %w", format, err)
	}
	inner, err := build(o)
	if err != nil {
		return nil, fmt.Errorf("format: %s: %w", format, err)
	}
	return payloadCodec{inner: inner}, nil
}

func (p payloadCodec) decodePayload(name string, data []byte, now time.Time) (d decoded, err error) {
	defer caught(&err)
	if len(data) > maxInflated {
		return decoded{}, refuse(TooLarge, "the payload is longer than 256 KiB")
	}
	d, err = p.inner.decode(cookie{name: name, value: string(data)}, now)
	if err != nil {
		return decoded{}, err
	}
	return checkedPayload(d, now)
}

func checkedPayload(d decoded, now time.Time) (decoded, error) {
	switch {
	case d.payload == nil:
		return decoded{}, refuse(Malformed, "the payload is not an object")
	case !d.expires.IsZero() && !now.Before(d.expires):
		return decoded{}, refuse(Expired, "its time is over")
	}
	return d, nil
}

func payloadJSON(data []byte) (decoded, error) {
	payload, err := parseObject(data)
	return decoded{payload: payload}, err
}

// payloadDjango reads what django would verify: as much trust as the table deserves.
func payloadDjango(data []byte) (decoded, error) {
	parts, err := cutStamped(string(data), ":")
	if err != nil {
		return decoded{}, err
	}
	payload, err := packedJSON(parts.body)
	return decoded{payload: payload}, err
}

// payloadSCS reads scs' GobCodec: a structure with Deadline and Values.
func payloadSCS(data []byte) (decoded, error) {
	v, err := parseGob(data)
	if err != nil {
		return decoded{}, err
	}
	session, _ := v.(map[string]any)
	payload, ok := session["Values"].(map[string]any)
	if !ok {
		// gob leaves out what is empty.
		payload = map[string]any{}
	}
	deadline, ok := session["Deadline"].(time.Time)
	if !ok {
		return decoded{}, refuse(Malformed, "the payload is not a session of scs")
	}
	return decoded{payload: payload, expires: deadline}, nil
}
