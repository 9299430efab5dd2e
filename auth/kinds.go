package auth

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/nearest"
)

// Fault is something wrong with a field of an entry.
type Fault struct {
	// Key is the field's name in the configuration, below the entry: salt, store.hash.
	Key string
	// Text says what is wrong and what to write instead. It holds no secret.
	Text string
}

// gives is what a decoder makes of a cookie: a key for the store, a payload, or, by what is
// in the cookie, one of them.
type gives uint8

const (
	givesKey gives = 1 << iota
	givesPayload
)

var kindGives = map[string]gives{
	"plain": givesKey, "express": givesKey, "better-auth": givesKey, "laravel": givesKey,
	"keygrip": givesKey | givesPayload, "rails-signed": givesKey | givesPayload, "phoenix": givesKey | givesPayload, "securecookie": givesKey | givesPayload,
	"django": givesPayload, "flask": givesPayload, "starlette": givesPayload, "rails": givesPayload, "iron": givesPayload,
	"authjs": givesPayload, "nextauth": givesPayload, "supabase": givesPayload, "jwt": givesPayload,
}

// What `hash`, `format`, `check` and `encoding` may be.
var (
	hashNames     = []string{"none", "rack", "sha256-b64url", "sha256-hex"}
	formatNames   = []string{"django", "django-unverified", "json", "scs", "securecookie"}
	checkNames    = []string{"devise-salt", "django-auth-hash", "none"}
	encodingNames = []string{"base64", "hex", "text"}
)

// Decoders are the values of `decode:`, sorted.
func Decoders() []string { return slices.Sorted(maps.Keys(kinds)) }

// CheckEntry says what of an entry's decoder, store and checks does not fit together, as far
// as that can be said without the secrets themselves and without the database. The entry
// has its preset and defaults filled in.
func CheckEntry(e *SessionEntry) []Fault {
	f := &faults{e: e}
	k, known := kinds[e.Decode]
	switch {
	case e.Decode == "":
		f.add("decode", "missing; name what wrote the cookie: "+strings.Join(Decoders(), ", "))
	case !known:
		f.unknown("decode", e.Decode, Decoders())
	default:
		f.options(k)
		f.secrets(k)
		f.digests()
		f.token(k)
		f.carrier(k)
		f.storeKey(kindGives[e.Decode])
	}
	f.store()
	f.check()
	return f.list
}

// faults collects what is wrong with one entry.
type faults struct {
	e    *SessionEntry
	list []Fault
}

func (f *faults) add(key, text string) { f.list = append(f.list, Fault{Key: key, Text: text}) }

func (f *faults) unknown(key, got string, names []string) {
	text := "is unknown" + nearest.Suggest(got, names)
	if !strings.Contains(text, "did you mean") {
		text += "; there are " + strings.Join(names, ", ")
	}
	f.add(key, text)
}

// options refuses what the decoder does not read.
func (f *faults) options(k kind) {
	e := f.e
	set := decodeOptions{salt: e.Salt, kdf: e.KDF, digest: e.Digest, issuer: e.Issuer, audience: e.Audience, algorithms: e.Algorithms, maxAge: e.MaxAge}
	if len(e.Encryption) > 0 {
		set.encryption = make(KeyRing, len(e.Encryption))
	}
	if e.JWKS != nil {
		set.keys = keySet{}
	}
	for _, name := range set.optional() {
		if slices.Contains(k.uses, name) {
			continue
		}
		text := "decode: " + e.Decode + " does not read it; remove it"
		if len(k.uses) > 0 {
			text += ". It reads " + strings.Join(k.uses, ", ")
		}
		f.add(name, text)
	}
	if e.StreamPastExp > 0 && !slices.Contains(k.uses, "algorithms") {
		f.add("stream_past_exp", "is for tokens (decode: jwt or supabase); remove it")
	}
}

func (f *faults) secrets(k kind) {
	e := f.e
	switch {
	case len(e.Secrets) > maxRing:
		f.add("secrets", "a ring holds at most 8 secrets; drop the oldest")
	case k.secret != "" && !k.keyless && len(e.Secrets) == 0:
		f.add("secrets", "missing; give "+k.secret+" as [env:NAME] or [file:PATH], current first")
	case k.secret == "" && len(e.Secrets) > 0 && !f.payloadSecret():
		f.add("secrets", "nothing here is signed: decode: "+e.Decode+" has no secret; remove them")
	}
	if n := len(e.Encryption); n > 0 && n != len(e.Secrets) && slices.Contains(k.uses, "encryption") {
		f.add("encryption", "needs one block key for each of the secrets, in the same order")
	}
	switch {
	case e.Encoding == "":
	case !slices.Contains(encodingNames, e.Encoding):
		f.unknown("encoding", e.Encoding, encodingNames)
	case len(e.Secrets) == 0:
		f.add("encoding", "says how secrets are written, and there are none; remove it")
	}
}

// payloadSecret reports whether the store's payload or the check needs the secrets.
func (f *faults) payloadSecret() bool {
	s := f.e.Store
	return f.e.Check == "django-auth-hash" || s != nil && s.Data != nil && sealedFormat(s.Data.Format)
}

func sealedFormat(format string) bool { return format == "django" || format == "securecookie" }

func (f *faults) digests() {
	for _, o := range [][2]string{{"digest", f.e.Digest}, {"kdf", f.e.KDF}} {
		if _, ok := digests[o[1]]; o[1] != "" && !ok {
			f.unknown(o[0], o[1], slices.Sorted(maps.Keys(digests)))
		}
	}
	if f.e.Decode == "phoenix" && f.e.Salt == "" {
		f.add("salt", "missing; give signing_salt of the session in endpoint.ex")
	}
}

// token says about signed tokens what newToken would say of them.
func (f *faults) token(k kind) {
	e := f.e
	if !slices.Contains(k.uses, "algorithms") {
		return
	}
	if len(e.Algorithms) == 0 {
		f.add("algorithms", "missing; name what tokens are signed with, for example [RS256]: what a token says itself is not believed")
		return
	}
	_, shared, err := signatureAlgorithms(e.Algorithms)
	switch {
	case err != nil:
		f.add("algorithms", strings.TrimPrefix(err.Error(), "algorithms: "))
	case e.JWKS != nil && len(e.Secrets) > 0:
		f.add("jwks", "public keys and secrets must not stand in one entry: one could be taken for the other")
	case shared && e.JWKS != nil:
		f.add("jwks", "HS256, HS384 and HS512 are shared secrets: write secrets, and no jwks")
	case shared && len(e.Secrets) == 0:
		f.add("secrets", "missing; HS algorithms need "+k.secret+" as [env:NAME] or [file:PATH]")
	case !shared && len(e.Secrets) > 0:
		f.add("secrets", "these algorithms are of public keys: write jwks, and no secrets")
	case !shared && e.JWKS == nil:
		f.add("jwks", "missing; give the address of the public keys that sign the tokens")
	case !shared && e.Issuer == "" && len(e.Audience) == 0:
		f.add("issuer", "missing; set issuer or audience: with these keys tokens for other applications may be signed too")
	}
}

// carrier says whether what the decoder reads can come where the entry looks for it.
func (f *faults) carrier(k kind) {
	if f.e.Bearer && (k.paired || k.chunked) {
		f.add("decode", f.e.Decode+" reads cookies and no bearer token; the token itself is decode: jwt")
	}
	if f.e.JWKS != nil && !goodKeyURL(f.e.JWKS) {
		f.add("jwks", "must be an https URL (http on a loopback address only), without user, password and fragment")
	}
}

func goodKeyURL(u *url.URL) bool {
	if u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopbackHost(u.Hostname())
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// storeKey says whether the store's key can come out of the cookie.
func (f *faults) storeKey(g gives) {
	e := f.e
	switch {
	case e.Store == nil && e.From != "":
		f.add("from", "names the key of a store, and there is no store; remove it, or add the store")
	case e.Store == nil && g == givesKey:
		f.add("store", "missing; "+e.Decode+" cookies hold nothing but the key of a row: store: {table: schema.name, key: column}")
	case e.Store != nil && g == givesKey && e.From != "":
		f.add("from", e.Decode+" cookies are the key themselves; remove it")
	case e.Store != nil && g == givesPayload && e.From == "":
		f.add("from", "missing; "+e.Decode+" cookies hold an object: name the path of the store's key in it")
	}
}

// unbound reports whether sessions outlive the password that they were made with: nothing
// looks at the hash of it that Django keeps in the session.
func (f *faults) unbound() bool {
	return f.e.Check != "django-auth-hash" && !slices.Contains(f.e.Store.Watch, "_auth_user_hash")
}

func (f *faults) store() {
	s := f.e.Store
	if s == nil {
		return
	}
	if s.Hash != "" && !slices.Contains(hashNames, s.Hash) {
		f.unknown("store.hash", s.Hash, hashNames)
	}
	if s.Data == nil {
		return
	}
	switch format := s.Data.Format; {
	case format == "":
	case !slices.Contains(formatNames, format):
		f.unknown("store.data.format", format, formatNames)
	case format == "django-unverified" && f.unbound():
		f.add("store.data.format", "a new password would end no session: give the secret and write format: django with check: django-auth-hash, "+
			"or add _auth_user_hash to watch and compare it in the claims SQL")
	case sealedFormat(format) && len(f.e.Secrets) == 0:
		f.add("secrets", "missing; format: "+format+" is signed with the application's secret: give it as [env:NAME] or [file:PATH]")
	}
}

// check says whether `check:` has what it compares.
func (f *faults) check() {
	e := f.e
	name := e.Check
	switch {
	case name == "" || name == "none":
		return
	case !slices.Contains(checkNames, name):
		f.unknown("check", name, checkNames)
		return
	case e.Claims.SQL == "":
		f.add("check", name+" compares the session with the column _check of the claims: write claims as SQL that gives it")
	case len(e.Depends) == 0:
		f.add("depends", "missing; "+name+" ends sessions when a password changes: name the table that _check is read from, as in [{table: users, key: id}]")
	}
	switch {
	case name == "django-auth-hash" && len(e.Secrets) == 0:
		f.add("secrets", "missing; check: django-auth-hash needs SECRET_KEY, then SECRET_KEY_FALLBACKS, as [env:NAME] or [file:PATH]")
	case name == "devise-salt" && !strings.HasSuffix(e.User, ".0.0"):
		f.add("user", "check: devise-salt wants the path of Devise: warden.user.SCOPE.key.0.0")
	}
	if e.Store != nil && e.Store.Data == nil && kindGives[e.Decode] == givesKey {
		f.add("check", name+" reads the session's payload: name its column, as store: {data: {column, format}}")
	}
}
