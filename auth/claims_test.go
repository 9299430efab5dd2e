package auth_test

import (
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
	claims, err := resolver.Resolve(r)
	if err != nil || !claims.Anonymous() {
		t.Errorf("Resolve = %+v, %v, want nobody", claims, err)
	}
}
