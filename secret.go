package main

import "regexp"

// secretName matches names of columns that hold what no page should get.
var secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|token|encrypted|api_?key|private_?key|recovery_code|card_number|` +
	`(^|_)(pw|pass|salt|otp|totp|mfa|ssn|iban|cvv|cvc)(_|$)|_digest$`)

// looksSecret reports whether a column's name is that of a password, a token or the like.
func looksSecret(column string) bool { return secretName.MatchString(column) }
