package auth_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/walrelay/walrelay/auth"
)

func TestZeroClaimsAreNobody(t *testing.T) {
	if !(auth.Claims{}).Anonymous() {
		t.Error("the zero Claims are somebody")
	}
}

func TestAnonymousBelievesNothing(t *testing.T) {
	r := httptest.NewRequest("GET", "/events/orders", nil)
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("Cookie", "session=admin")
	r.Header.Set("Remote-User", "admin")
	var resolver auth.Resolver = auth.Anonymous{}
	if session, err := resolver.Resolve(r, auth.Client{}); session != nil || !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("Resolve = %v, %v, want nobody", session, err)
	}
}
