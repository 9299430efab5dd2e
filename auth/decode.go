package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What a request may make us hold.
const (
	maxCookie   = 16 << 10  // bytes of a cookie's value, chunks joined
	maxInflated = 256 << 10 // bytes of what is packed inside, or of a store's payload
	maxDepth    = 64        // nesting of a payload
	maxValues   = 16 << 10  // values of a payload, all levels together
)

// cookie is one candidate: what a request sends under a name.
type cookie struct {
	name      string // full wire name with its prefix, without the suffix of a chunk: it enters some MACs
	value     string // as received, chunks joined
	signature string // of kinds that sign by a second cookie (keygrip): the value of name.sig
}

// decoded is what a cookie says, after every signature has been checked.
type decoded struct {
	// key is looked up in the store; nil of cookies that hold the session themselves.
	key []byte
	// payload is the session of self-contained cookies: string, bool, nil, json.Number,
	// []any, map[string]any, and []byte for binary values that are not UTF-8.
	payload map[string]any
	// expires is the first instant at which the decoder refuses this cookie, leeway
	// included; zero: the cookie does not say.
	expires time.Time
	// issued is when it was signed; zero: the cookie does not say.
	issued time.Time
}

// decoder checks and opens the cookies of one framework. Immutable, safe for
// concurrent use, never blocks, and its work is bounded by the limits above. Its
// errors are refusals.
type decoder interface {
	decode(c cookie, now time.Time) (decoded, error)
}

// decodeOptions are the fields of an entry of `auth:` that concern its decoder. Names
// in messages are those of the configuration.
type decodeOptions struct {
	secrets    KeyRing       // current first
	encryption KeyRing       // securecookie: block keys, one for each secret
	encoding   string        // how secrets are written: text (default), hex, base64
	salt       string        // what the framework mixes into its keys
	kdf        string        // hash of PBKDF2
	digest     string        // hash of the signature
	issuer     string        // iss that tokens must have
	audience   []string      // one of them must be in a token's aud
	algorithms []string      // what tokens may be signed with
	maxAge     time.Duration // zero: the framework's own
	keys       keySource     // public keys of who signs tokens
}

// optional names the options that are set and that not every kind reads.
func (o decodeOptions) optional() []string {
	set := map[string]bool{
		"encryption": len(o.encryption) > 0, "salt": o.salt != "", "kdf": o.kdf != "", "digest": o.digest != "",
		"issuer": o.issuer != "", "audience": len(o.audience) > 0, "algorithms": len(o.algorithms) > 0,
		"max_age": o.maxAge != 0, "jwks": o.keys != nil,
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] {
			names = append(names, name)
		}
	}
	return names
}

// kind is what is known of a value of `decode:`.
type kind struct {
	build func(decodeOptions) (decoder, error)
	// secret says where the application keeps its secret; empty: there is none.
	secret string
	// keyless: the kind can do without secrets (it checks that itself).
	keyless bool
	uses    []string // optional options that it reads
	chunked bool     // long values are spread over name.0, name.1, ...
	paired  bool     // the signature is in name.sig
}

var kinds = map[string]kind{
	"plain":        {build: newPlain},
	"express":      {build: newExpress, secret: "what the application passes to session({secret})"},
	"better-auth":  {build: newBetterAuth, secret: "BETTER_AUTH_SECRET"},
	"keygrip":      {build: newKeygrip, secret: "the keys of cookie-session or of app.keys", uses: []string{"digest"}, paired: true},
	"django":       {build: newDjango, secret: "SECRET_KEY, then SECRET_KEY_FALLBACKS", uses: []string{"salt", "max_age"}},
	"flask":        {build: newFlask, secret: "SECRET_KEY, then SECRET_KEY_FALLBACKS", uses: []string{"salt", "digest", "max_age"}},
	"starlette":    {build: newStarlette, secret: "the secret_key of SessionMiddleware", uses: []string{"salt", "digest", "max_age"}},
	"rails":        {build: newRails, secret: "secret_key_base", uses: []string{"salt", "kdf"}},
	"rails-signed": {build: newRailsSigned, secret: "secret_key_base", uses: []string{"salt", "kdf", "digest"}},
	"laravel":      {build: newLaravel, secret: "APP_KEY, then APP_PREVIOUS_KEYS"},
	"phoenix":      {build: newPhoenix, secret: "secret_key_base", uses: []string{"salt", "max_age"}},
	"iron":         {build: newIron, secret: "the password of iron-session"},
	"authjs":       {build: newAuthJS, secret: "AUTH_SECRET", chunked: true},
	"nextauth":     {build: newNextAuth, secret: "NEXTAUTH_SECRET", chunked: true},
	"securecookie": {build: newSecureCookie, secret: "the hash keys", uses: []string{"encryption", "max_age"}},
	"supabase":     {build: newSupabase, secret: "the JWT secret", keyless: true, uses: tokenOptions, chunked: true},
	"jwt":          {build: newJWT, secret: "the key of HS256, HS384 or HS512", keyless: true, uses: append([]string{"max_age"}, tokenOptions...)},
}

var tokenOptions = []string{"issuer", "audience", "algorithms", "jwks"}

// newDecoder makes the decoder that `decode: name` means. The error says what to
// configure; it holds no secret.
func newDecoder(name string, o decodeOptions) (decoder, error) {
	k, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("decode: %q is unknown (known: %s)", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	o, err := k.prepare(o)
	if err != nil {
		return nil, fmt.Errorf("decode: %s: %w", name, err)
	}
	d, err := k.build(o)
	if err != nil {
		return nil, fmt.Errorf("decode: %s: %w", name, err)
	}
	return guard{kind: name, inner: d}, nil
}

// prepare checks what all kinds have in common and decodes the secrets.
func (k kind) prepare(o decodeOptions) (decodeOptions, error) {
	for _, name := range o.optional() {
		if !slices.Contains(k.uses, name) {
			return o, fmt.Errorf("%s has no meaning here: remove it", name)
		}
	}
	switch {
	case k.secret == "" && len(o.secrets) > 0:
		// They may be there for the payload of the store.
		o.secrets = nil
	case k.secret != "" && !k.keyless && len(o.secrets) == 0:
		return o, fmt.Errorf("secrets are missing: give %s as env:NAME or file:PATH, current first", k.secret)
	}
	if o.maxAge < 0 {
		return o, errors.New("max_age is negative")
	}
	var err error
	if o.secrets, err = o.secrets.decoded(o.encoding); err != nil {
		return o, err
	}
	o.encryption, err = o.encryption.decoded(o.encoding)
	return o, err
}

// letPanic is for tests, which must see what decoders do.
var letPanic bool

// caught makes a refusal of a panic: what is wrong with a decoder must not let a cookie, or a row
// that Postgres would send again after each restart, end the process. Decoders are pure, so
// nothing is left half done. What panicked may quote what was read, so it is not shown.
func caught(err *error) {
	if letPanic {
		return
	}
	if recover() != nil {
		*err = refuse(Malformed, "its decoder has failed: that is a mistake of walrelay, please report it")
	}
}

// guard stands before every decoder: limits, the clock, and errors that name the kind.
type guard struct {
	kind  string
	inner decoder
}

func (g guard) decode(c cookie, now time.Time) (decoded, error) {
	d, err := g.open(c, now)
	if err == nil {
		return d, nil
	}
	var r *refusal
	if !errors.As(err, &r) {
		// What is not ours may quote what it read.
		r = &refusal{reason: Malformed, text: "it cannot be read"}
	}
	return decoded{}, &refusal{reason: r.reason, kind: g.kind, text: r.text}
}

func (g guard) open(c cookie, now time.Time) (d decoded, err error) {
	defer caught(&err)
	switch {
	case c.value == "":
		return decoded{}, refuse(Malformed, "the value is empty")
	case len(c.value) > maxCookie || len(c.signature) > maxCookie:
		return decoded{}, refuse(TooLarge, "the value is longer than 16 KiB")
	}
	d, err = g.inner.decode(c, now)
	switch {
	case err != nil:
		return decoded{}, err
	case !d.expires.IsZero() && !now.Before(d.expires):
		return decoded{}, refuse(Expired, "its time is over")
	case len(d.key) == 0 && d.payload == nil:
		return decoded{}, refuse(Malformed, "it holds nothing")
	}
	return d, nil
}
