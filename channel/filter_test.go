package channel

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

func claimsOf(t testing.TB, declared ...string) (out []filter.Claim) {
	t.Helper()
	for _, d := range declared {
		name, typ, _ := strings.Cut(d, " ")
		parsed, err := filter.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, filter.Claim{Name: name, Type: parsed})
	}
	return out
}

func userOf(t testing.TB, declared []filter.Claim, claims string) *filter.Claims {
	t.Helper()
	u, err := filter.ParseClaims(declared, []byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// subscribeAs is subscribe for a user.
func (h *testHub) subscribeAs(user *filter.Claims, lastID string, channels ...string) *Subscriber {
	h.t.Helper()
	s, err := h.Subscribe(h.t.Context(), Request{Channels: channels, LastEventID: lastID, User: user})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestEnterLeave is the table of what each audience gets, with the whole old row.
func TestEnterLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, `row.body != "draft"`, "row.room == user.id", claims...)}})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"id":7}`), "", "mine")
		drain(s)
		for _, step := range []struct {
			what string
			op   func(*change.Builder, *change.Relation)
			want []string
		}{
			{"insert, in", insert(1, 7, "a"), []string{`insert {"id":1} {"id":1,"room":7,"body":"a"}`}},
			{"insert, out", insert(2, 8, "a"), nil},
			{"insert, out by where", insert(3, 7, "draft"), nil},
			{"update, stays in", update(1, 7, "a", 1, 7, "b"), []string{`update {"id":1} {"id":1,"room":7,"body":"b"}`}},
			{"update, stays out", update(2, 8, "a", 2, 9, "b"), nil},
			{"update, enters", update(2, 9, "b", 2, 7, "b"), []string{`insert {"id":2} {"id":2,"room":7,"body":"b"}`}},
			{"update, enters by where", update(3, 7, "draft", 3, 7, "c"), []string{`insert {"id":3} {"id":3,"room":7,"body":"c"}`}},
			{"update, leaves", update(2, 7, "b", 2, 8, "secret"), []string{`delete {"id":2}`}},
			{"update, leaves by where", update(3, 7, "c", 3, 7, "draft"), []string{`delete {"id":3}`}},
			{"update, leaves with another key", update(1, 7, "b", 9, 8, "b"), []string{`delete {"id":1}`}},
			{"update, enters with another key", update(9, 8, "b", 1, 7, "b"), []string{`insert {"id":1} {"id":1,"room":7,"body":"b"}`}},
			{"update of the key", update(1, 7, "b", 4, 7, "b"), []string{`delete {"id":1}`, `insert {"id":4} {"id":4,"room":7,"body":"b"}`}},
			{"delete, in", remove(4, 7, "b"), []string{`delete {"id":4}`}},
			{"delete, out", remove(2, 8, "secret"), nil},
		} {
			h.tx(step.op)
			if got := short(drain(s)); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %q, want %q", step.what, got, step.want)
			}
		}
	})
}

// short are events as "op key row".
func short(events []string) (out []string) {
	for _, e := range events {
		_, data, _ := strings.Cut(e, "{")
		var x struct {
			Op       string
			Key, Row json.RawMessage
		}
		if err := json.Unmarshal([]byte("{"+data+"}"), &x); err != nil {
			out = append(out, e)
			continue
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", x.Op, x.Key, x.Row)))
	}
	return out
}

// TestRefused: who asks, and what the rule says of the user alone, is decided before the
// stream begins.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint", "role text")
		h := newTestHub(t, Options{MaxScans: 1, Rules: []*Rule{
			ruled(t, testRelation(), Rule{Name: "admins"}, "", `user.role == "admin"`, claims...),
			ruled(t, testRelation(), Rule{Name: "all"}, "", "true", claims...),
			ruled(t, testRelation(), Rule{Name: "larger"}, "", "row.room > user.id", claims...),
			{Name: "unknown", Schema: "public", Table: "u"},
		}})
		defer h.run()()
		ask := func(user *filter.Claims, name string) error {
			_, err := h.Subscribe(t.Context(), Request{Channels: []string{name}, User: user})
			return err
		}
		one := userOf(t, claims, `{"id":1}`)
		for _, test := range []struct {
			user *filter.Claims
			name string
			want string
		}{
			{nil, "all", "*channel.NoUserError"},
			{one, "all", "<nil>"},
			{one, "admins", "*channel.RefusedError"},
			{userOf(t, claims, `{"role":"admin"}`), "admins", "<nil>"},
			{one, "larger", "<nil>"},
			{one, "larger", "<nil>"}, // the same audience
			{userOf(t, claims, `{"id":2}`), "larger", "*channel.ScanLimitError"},
			{nil, "unknown", "*channel.NoUserError"},
			{one, "unknown", "*errors.errorString"},
			{one, "nothing", "*channel.UnknownChannelError"},
		} {
			if got := fmt.Sprintf("%T", ask(test.user, test.name)); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
	})
}

// TestIndexEqualsBrute: the index finds exactly the audiences whose filter is TRUE, while
// subscribers join and leave.
func TestIndexEqualsBrute(t *testing.T) {
	claims := claimsOf(t, "id bigint", "teams bigint[]", "tag text")
	filters := []string{
		"row.room == user.id", "row.room in user.teams", `row.body == user.tag && row.room == user.id`,
		"row.room == user.id || row.id in user.teams", `row.body != "a" && (row.room == user.id || row.id == user.id)`,
		"row.room > user.id", `user.tag == "x" || row.room == user.id`, "true", "!(row.room in user.teams)",
		`row.id == user.id && (row.room in user.teams || row.body == user.tag)`, `row.room == null || lower(row.body) == user.tag`,
	}
	for _, allow := range filters {
		t.Run(allow, func(t *testing.T) {
			rel := testRelation()
			rule := ruled(t, rel, Rule{Name: "c"}, "", allow, claims...)
			rule.prepare()
			c := &churn{t: t, rule: rule, index: newIndex(), claims: claims, random: rand.New(rand.NewPCG(1, uint64(len(allow))))}
			p := newPlan(rule, rel)
			for range 3000 {
				c.step()
				c.compare(p)
			}
			if c.hits == 0 {
				t.Error("no row was in any audience")
			}
			for len(c.subs) > 0 {
				c.leave(0)
			}
			ir := c.index.rules[rule]
			for d, of := range ir.postings {
				if len(of) > 0 {
					t.Errorf("disjunct %d keeps %d keys", d, len(of))
				}
			}
			if len(ir.audiences)+len(c.index.named)+len(c.index.views) > 0 {
				t.Errorf("left: %d audiences, %d names, %d views", len(ir.audiences), len(c.index.named), len(c.index.views))
			}
		})
	}
}

type churn struct {
	t      *testing.T
	rule   *Rule
	index  *index
	claims []filter.Claim
	random *rand.Rand
	subs   []*Subscriber
	views  map[string]*view
	hits   int
}

func (c *churn) number() string {
	if c.random.IntN(5) == 0 {
		return "null"
	}
	return fmt.Sprint(c.random.IntN(6))
}

func (c *churn) text() string { return []string{"null", `"a"`, `"b"`, `"x"`}[c.random.IntN(4)] }

// step lets somebody join, or leave.
func (c *churn) step() {
	if len(c.subs) > 0 && c.random.IntN(40) < len(c.subs) {
		c.leave(c.random.IntN(len(c.subs)))
		return
	}
	user := userOf(c.t, c.claims, fmt.Sprintf(`{"id":%s,"teams":[%s,%s],"tag":%s}`, c.number(), c.number(), c.number(), c.text()))
	a, err := newAudience(c.rule, "c", user, nil)
	if err != nil {
		return // refused
	}
	if c.views == nil {
		c.views = map[string]*view{}
	}
	v := c.views[a.id]
	if v == nil {
		v = &view{audiences: []*audience{a}}
		c.views[a.id] = v
	}
	s := &Subscriber{view: v}
	c.subs = append(c.subs, s)
	c.index.join(s)
}

func (c *churn) leave(i int) {
	c.index.leave(c.subs[i])
	c.subs = slices.Delete(c.subs, i, i+1)
}

func (c *churn) row() []change.Value {
	row := make([]change.Value, 3)
	for i, text := range []string{c.number(), c.number(), strings.Trim(c.text(), `"`)} {
		row[i] = change.Value{Kind: change.Text, Text: []byte(text)}
		if text == "null" {
			row[i] = change.Value{Kind: change.Null}
		}
		if c.random.IntN(20) == 0 {
			row[i] = change.Value{Kind: change.Missing}
		}
	}
	return row
}

// compare matches an update both ways.
func (c *churn) compare(p *plan) {
	before, after := c.row(), c.row()
	if c.random.IntN(3) == 0 {
		after = before
	}
	ir := c.index.rule(c.rule)
	ir.find(p.layout, before, after)
	im := c.rule.Program.NewImage()
	for side, row := range [][]change.Value{before, after} {
		found := map[*indexedAudience]bool{}
		for _, a := range ir.found[side] {
			if found[a] {
				c.t.Fatalf("audience %q twice", a.id)
			}
			found[a] = true
			c.hits++
		}
		im.Load(p.layout, row)
		for _, a := range ir.audiences {
			if want := a.binding.Eval(im) == filter.True; found[a] != want || (a.met[side] == ir.matched) != want {
				c.t.Fatalf("row %d %q: found %v, want %v", side, row, found[a], want)
			}
		}
	}
}

// TestRowOfTwoChannels: a row that belongs to two channels of a rule is called by its name in each.
func TestRowOfTwoChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "of/{n}"}, "row.id == params.n or row.room == params.n", "public")}})
		defer h.run()()
		names := []string{"1", "7"}
		var subs []*Subscriber
		for _, n := range names {
			subs = append(subs, h.subscribe("", "of/"+n))
		}
		h.tx(insert(1, 7, "a"))
		for i, n := range names {
			got := strings.Join(drain(subs[i]), "\n")
			if !strings.Contains(got, `insert 0/100.0 {"channel":"of/`+n+`"`) || !strings.Contains(got, `"params":{"n":`+n+`}`) {
				t.Errorf("of/%s: got %s", n, got)
			}
		}
	})
}

// TestUnreadableValue: a value that is none of its type makes the rule unable to judge that
// change, and no other.
func TestUnreadableValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := claimsOf(t, "id bigint")
		h := newTestHub(t, Options{Rules: []*Rule{ruled(t, testRelation(), Rule{Name: "mine"}, "", "row.room == user.id", claims...)}})
		defer h.run()()
		s := h.subscribeAs(userOf(t, claims, `{"id":7}`), "", "mine")
		drain(s)
		odd := func(b *change.Builder, r *change.Relation) {
			p := append([]byte{'O'}, tup("1", "seven", "a")...)
			b.Row(change.Update, r, append(append(p, 'N'), tup("1", "7", "b")...), false)
		}
		h.tx(odd)
		want(t, drain(s), `reset 0/100.0 {"channel":"mine","reason":"gap"}`)
		h.tx(update(1, 7, "b", 1, 7, "c")) // nothing that the rule reads: the old row is not looked at
		if got := short(drain(s)); !slices.Equal(got, []string{`update {"id":1} {"id":1,"room":7,"body":"c"}`}) {
			t.Errorf("afterwards: %q", got)
		}
	})
}
