package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

func TestDjangoAuthHash(t *testing.T) {
	t.Parallel()
	v := loadVector(t, "django-db")
	password := v.Rows["auth_user"][0]["password"].(string)
	other := ringOf("another-key")
	ring := v.ring(t, "SECRET_KEY")
	for _, c := range []struct {
		name   string
		ring   KeyRing
		column string
		hash   any
		good   bool
	}{
		{"the vector's", ring, password, v.AuthHash.Expected, true},
		{"made with a fallback key", append(other, ring...), password, v.AuthHash.Expected, true},
		{"new password", ring, password + "x", v.AuthHash.Expected, false},
		{"other key", other, password, v.AuthHash.Expected, false},
		{"no hash in the session", ring, password, nil, false},
		{"empty hash", ring, password, "", false},
		{"no password to compare with", ring, "", djangoHashOf(ring, ""), false},
	} {
		check, err := newPayloadCheck("django-auth-hash", c.ring, "_auth_user_id")
		if err != nil {
			t.Fatal(err)
		}
		err = check(map[string]any{"_auth_user_hash": c.hash}, c.column)
		if good := err == nil; good != c.good || !good && !refusedAs(err, PasswordChanged) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// djangoHashOf is the hash that a session has of this password.
func djangoHashOf(ring KeyRing, password string) string {
	key := sha256.Sum256([]byte(djangoHashSalt + string(ring[0].bytes())))
	return hex.EncodeToString(macOf(sha256.New, key[:], password))
}

func TestDeviseSalt(t *testing.T) {
	t.Parallel()
	v := loadVector(t, "rails-encrypted-cookie-sha256")
	s := settings[v.Name]
	d, _, err := s.decodeHeader(t, v, v.CookieHeader, v.MadeAt)
	if err != nil {
		t.Fatal(err)
	}
	const path = "warden.user.user.key.0.0"
	if id, _ := at(d.payload, path); id == nil {
		t.Errorf("%s leads nowhere", path)
	}
	check, err := newPayloadCheck("devise-salt", nil, path)
	if err != nil {
		t.Fatal(err)
	}
	password := v.Rows["users"][0]["encrypted_password"].(string)
	if err := check(d.payload, password); err != nil {
		t.Error(err)
	}
	for name, column := range map[string]string{
		"new salt": "$2a$04$AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "cut": password[:28], "empty": "",
	} {
		if err := check(d.payload, column); !refusedAs(err, PasswordChanged) {
			t.Errorf("%s: %v, want %s", name, err, PasswordChanged)
		}
	}
	if err := check(map[string]any{}, password); !refusedAs(err, PasswordChanged) {
		t.Errorf("a session without a salt: %v", err)
	}
}

func TestPayloadCheckOptions(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"django-auth-hash": "_auth_user_id", "devise-salt": "user_id", "md5": "x"} {
		if _, err := newPayloadCheck(name, nil, path); err == nil {
			t.Errorf("check %s with user %s and no secrets is accepted", name, path)
		}
	}
	check, err := newPayloadCheck("", nil, "")
	if err != nil || check(nil, "") != nil {
		t.Errorf("no check: %v", err)
	}
}
