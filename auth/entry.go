package auth

import (
	"net/url"
	"time"
)

// Entry is one entry of `auth:`, checked and with its preset and defaults filled in, as
// package config reads it. Exactly one of Session, Forward and Anonymous is set.
type Entry struct {
	// Key is where the entry stands in the configuration, auth.0, for messages.
	Key       string
	Session   *SessionEntry
	Forward   *ForwardEntry
	Anonymous *AnonymousEntry
}

// SessionEntry reads a session from a cookie or a bearer token: decode, then perhaps a row
// of a store, then perhaps claims from SQL.
type SessionEntry struct {
	// Preset is the name of the preset that filled the fields, for explanations.
	Preset string

	// Cookies are full wire names; the first that is present decides. Empty with Bearer.
	Cookies []string
	// Bearer takes the token of the Authorization header instead of a cookie.
	Bearer bool

	// Decode is a decoder's name; the fields down to JWKS are its options.
	Decode string
	// Secrets and Encryption are references, env:NAME or file:PATH, current first.
	Secrets, Encryption []string
	Encoding            string // how secrets are written: text, hex, base64; empty: text
	Salt, KDF, Digest   string
	Issuer              string
	Audience            []string
	Algorithms          []string
	MaxAge              time.Duration
	// JWKS is where the public keys are, https or on a loopback address; nil for none.
	JWKS *url.URL

	// From is the path of the store key in a payload; empty where the cookie is the key.
	From string
	// Store is where sessions are kept; nil: the cookie holds its session.
	Store *Store
	// User is the path in the payload, or the column of the store's row, that says who it is.
	User string
	// Check is none, django-auth-hash or devise-salt; empty: none.
	Check   string
	Claims  ClaimSource
	Depends []Depend
	// Timezone is how timestamps without time zone are meant, a name of the IANA database;
	// empty: UTC.
	Timezone string

	// MaxStream ends streams so that the browser comes back with its present cookies.
	MaxStream time.Duration
	// Revalidate is how often a session is looked up again of which the WAL tells nothing.
	Revalidate time.Duration
	// NegativeTTL is how long a refused cookie is refused without a look-up.
	NegativeTTL time.Duration
	// StreamPastExp lets streams go on after a token has expired; 0: they end.
	StreamPastExp time.Duration
}

// Live reports that the WAL tells of a logout: the sessions are rows.
func (e *SessionEntry) Live() bool { return e.Store != nil }

// Store is a table of sessions.
type Store struct {
	// Schema and Table are unquoted.
	Schema, Table string
	// Key is the column that is compared with the decoded value after Hash.
	Key string
	// Hash is none, sha256-hex, sha256-b64url or rack; empty: none.
	Hash string
	// Where are further equality conditions, in the order of the file.
	Where []Equal
	// Expires says when a row's session ends; nil: it does not end by time.
	Expires *Expires
	// Data is the column with the session's payload; nil: there is none.
	Data *Data
	// Watch are columns and payload paths that the claims may read as :session.
	Watch []string
}

// Equal is a condition: Column is Value, compared as the column's type.
type Equal struct{ Column, Value string }

// Expires is a column, plus a time.
type Expires struct {
	Column string
	// Unit is empty (the column is a timestamp, with or without time zone), unix or unix-ms.
	Unit string
	Plus time.Duration
}

// Data is a column and its format: json, django, django-unverified, securecookie, scs.
type Data struct{ Column, Format string }

// ClaimSource says what claims are made of. At most one is set; none: the claim id is the
// user.
type ClaimSource struct {
	// SQL is a query with :user and :session; its columns are claims, _check is that of Check.
	SQL string
	// Paths are claims by name: a path in the payload, or a column of the store's row.
	Paths map[string]string
	// Headers are claims by name: a header of the answer of `forward:`.
	Headers map[string]string
}

// Depend is a table whose rows the claims SQL reads: when a row changes whose Key is the
// user, the claims are read again.
type Depend struct{ Schema, Table, Key string }

// ForwardEntry asks the application who it is.
type ForwardEntry struct {
	// URL is fixed: nothing of it comes from a request.
	URL *url.URL
	// Cookies are those that are sent on; a request without any of them has no session.
	Cookies []string
	// Bearer sends the Authorization header on.
	Bearer bool
	// User is a path in the answer's JSON. Empty: the answer's status alone says it, and Claims name it.
	User   string
	Claims ClaimSource
	// PassSetCookie hands on the cookies that the answer sets.
	PassSetCookie bool
	// Timeout bounds one question.
	Timeout   time.Duration
	MaxStream time.Duration
}

// AnonymousEntry lets requests without a session be nobody: they reach public channels.
type AnonymousEntry struct {
	// Claims is their JSON. No rule reads them: public channels know no user.
	Claims []byte
}

// Limits bound what look-ups and sessions take.
type Limits struct {
	// PerSession and PerUser bound open streams.
	PerSession, PerUser int
	// Lookups bounds look-ups that run at once.
	Lookups int
	// FailedPerMinute bounds refused look-ups of one address.
	FailedPerMinute int
}
