package auth

import (
	"testing"

	"github.com/walrelay/walrelay/change"
)

// TestRowsAreEqual: the row of a session is the same from a query and from the stream, and a
// DELETE names it.
func TestRowsAreEqual(t *testing.T) {
	t.Parallel()
	for name := range worked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, env := v.workedEntry(t)
			s := compile(t, e, env)
			s.now = v.clock
			table, key := quotedTable("public", e.Store.Table), quoted(e.Store.Key)
			for _, identity := range []string{"default", "full"} {
				d.exec(t, "alter table "+table+" replica identity "+identity)
				rels := d.relations(t, e)
				if _, err := s.learn(rels); err != nil {
					t.Fatal(err)
				}
				q, err := v.question(t, s, v.CookieHeader)
				if err != nil {
					t.Fatal(err)
				}
				f, err := d.postgres(t).lookup(t.Context(), s, q)
				if err != nil {
					t.Fatal(err)
				}
				if !f.row.fits || f.row.partial || f.row.identity == "" {
					t.Errorf("row %+v", f.row)
				}
				c := d.capture(t, rels)
				d.exec(t, "update "+table+" set "+key+" = "+key)
				checkSameRow(t, s, f.row, c.read(t))
				c.close(t)
			}
		})
	}
}

func checkSameRow(t *testing.T, s *source, want *row, changes []*change.Change) {
	t.Helper()
	for _, c := range changes {
		after, before := imagesOf(t, c)
		got, err := s.row(c.Relation, after)
		if err != nil {
			t.Fatal(err)
		}
		if got.identity == want.identity {
			if got != *want {
				t.Errorf("from the stream %+v\nfrom a query   %+v", got, *want)
			}
			if id, ok := s.identity(c.Relation, before); !ok || id != want.identity {
				t.Errorf("the old tuple names %q, %v; want %q", id, ok, want.identity)
			}
			return
		}
	}
	t.Errorf("none of %d changes is of the row", len(changes))
}
