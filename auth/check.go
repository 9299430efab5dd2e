package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// payloadCheck compares a session's payload with the column _check of the claims row:
// frameworks bind sessions to the password so that a new one ends them. The error is a
// refusal with PasswordChanged.
type payloadCheck func(payload any, column string) error

const djangoHashSalt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"

// deviseSalt is the length of bcrypt's version, cost and salt.
const deviseSalt = 29

// newPayloadCheck is `check:`. userPath is the path of `user:`.
func newPayloadCheck(name string, secrets KeyRing, userPath string) (payloadCheck, error) {
	switch name {
	case "", "none":
		return func(any, string) error { return nil }, nil
	case "django-auth-hash":
		return newDjangoCheck(secrets)
	case "devise-salt":
		return newDeviseCheck(userPath)
	}
	return nil, fmt.Errorf("check: %q is unknown (known: none, django-auth-hash, devise-salt)", name)
}

func errPassword() error {
	return refuse(PasswordChanged, "the password is not the one that the session was made with")
}

// newDjangoCheck: _auth_user_hash is the HMAC-SHA256 of the password column.
func newDjangoCheck(secrets KeyRing) (payloadCheck, error) {
	if len(secrets) == 0 {
		return nil, errors.New("check: django-auth-hash: secrets are missing: give SECRET_KEY, then SECRET_KEY_FALLBACKS")
	}
	keys, err := secrets.derive(func(key []byte) ([]byte, error) {
		sum := sha256.Sum256([]byte(djangoHashSalt + string(key)))
		return sum[:], nil
	})
	return func(payload any, column string) error {
		v, _ := at(payload, "_auth_user_hash")
		text, _ := v.(string)
		if _, ok := keys.find(sha256.New, hex.EncodeToString, text, column); !ok || column == "" {
			return errPassword()
		}
		return nil
	}, err
}

// newDeviseCheck: the payload has the user's key and the start of encrypted_password
// side by side, [[id], salt]; user: names the id.
func newDeviseCheck(userPath string) (payloadCheck, error) {
	list, ok := strings.CutSuffix(userPath, ".0.0")
	if !ok {
		return nil, errors.New("check: devise-salt: user must be warden.user.SCOPE.key.0.0")
	}
	return func(payload any, column string) error {
		v, _ := at(payload, list+".1")
		text, _ := v.(string)
		if len(column) < deviseSalt || subtle.ConstantTimeCompare([]byte(text), []byte(column[:deviseSalt])) != 1 {
			return errPassword()
		}
		return nil
	}, nil
}
