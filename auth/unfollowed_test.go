package auth

import (
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// TestUnfollowed: no session is accepted while nobody would hear of its end, and all is as
// it was when the table is followed again.
func TestUnfollowed(t *testing.T) {
	t.Parallel()
	for name, rel := range map[string]*change.Relation{"session": passportTable, "users": usersTable, "member": memberTable} {
		s := learned(t, passport(), passportTable, usersTable, memberTable)
		if _, err := s.learn(map[string]*change.Relation{"public." + name: nil}); err == nil || !strings.Contains(err.Error(), "table public."+name+" (auth.0.") || !strings.Contains(err.Error(), "is not followed") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.learn(nil); err == nil || s.bound.Load().err == nil {
			t.Errorf("%s: forgotten after learning nothing", name)
		}
		if _, err := s.learn(tables(rel)); err != nil || s.bound.Load().err != nil {
			t.Errorf("%s: it is followed again: %v", name, err)
		}
		s = compile(t, passport(), nil)
		if _, err := s.learn(map[string]*change.Relation{"public." + name: nil}); err == nil {
			t.Errorf("%s: accepted at the start", name)
		}
	}
}
