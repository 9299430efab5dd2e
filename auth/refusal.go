package auth

import "errors"

// Reason says in one word why a cookie or a token was refused. Its text is a label
// of metrics and a word of `walrelay auth explain`: it never changes.
type Reason string

// The reasons of the decoders.
const (
	// Malformed: it has not the form of what the framework writes.
	Malformed Reason = "malformed"
	// TooLarge: it, or what is packed inside, is beyond a limit.
	TooLarge Reason = "too_large"
	// BadSignature: no key of the ring has made it.
	BadSignature Reason = "bad_signature"
	// Expired: it was good once.
	Expired Reason = "expired"
	// NotYetValid: it will be good later; usually a clock is wrong.
	NotYetValid Reason = "not_yet_valid"
	// WrongPurpose: signed by the application, for another cookie.
	WrongPurpose Reason = "wrong_purpose"
	// WrongAlgorithm: the token names an algorithm that is not configured, or a key of another algorithm.
	WrongAlgorithm Reason = "wrong_algorithm"
	// WrongIssuer: the token's iss is not the configured one.
	WrongIssuer Reason = "wrong_issuer"
	// WrongAudience: the token is for somebody else.
	WrongAudience Reason = "wrong_audience"
	// UnknownKey: none of the known keys has the token's kid; a newer key set may.
	UnknownKey Reason = "unknown_key"
	// PasswordChanged: the session is bound to a password that is no longer the user's.
	PasswordChanged Reason = "password_changed"
	// Unsupported: a variant of the format that walrelay does not read.
	Unsupported Reason = "unsupported"
)

// The reasons of look-ups.
const (
	// NoRow: the store has no such session: signed out, or never there.
	NoRow Reason = "no_row"
	// NoUser: nobody is signed in to the session.
	NoUser Reason = "no_user"
	// NoClaims: the claims SQL finds nobody: disabled, or deleted.
	NoClaims Reason = "no_claims"
	// BadClaims: the claims are not what the configuration declares.
	BadClaims Reason = "bad_claims"
	// Conflict: values of the same name belong to different users.
	Conflict Reason = "conflict"
	// NotSignedIn: the application that was asked knows nobody.
	NotSignedIn Reason = "not_signed_in"
	// TooManyFailures: the address has been refused too often of late, and nothing was tried.
	TooManyFailures Reason = "too_many_failures"
	// BadValue: a value of it is not of the type of the column that it is compared with.
	BadValue Reason = "bad_value"
)

// refusal is the error of every decoder.
type refusal struct {
	reason Reason
	// kind is the decoder, empty for what happens before one.
	kind string
	// text says what is wrong. Invariant: a constant of this package, so that no byte
	// of a cookie, a key or a payload can get into an error.
	text string
}

func (r *refusal) Error() string {
	subject := "cookie"
	if r.kind != "" {
		subject = r.kind + " cookie"
	}
	return subject + " refused (" + string(r.reason) + "): " + r.text
}

// refuse makes a refusal. text must be a constant.
func refuse(reason Reason, text string) error { return &refusal{reason: reason, text: text} }

// ReasonOf is the reason of a decoder's error; false when the error is no refusal.
func ReasonOf(err error) (Reason, bool) {
	var r *refusal
	if !errors.As(err, &r) {
		return "", false
	}
	return r.reason, true
}
