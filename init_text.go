package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// yaml is the configuration that init writes.
func (s *schema) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# walrelay configuration, written by walrelay init from the schema of database %s.
# config.example.yaml has every key; docs/rules.md the language of where and allow.
#
# Who may see the rows of a channel is for you to decide: uncomment and correct each allow,
# or remove the channel. walrelay does not start before; walrelay check says what is missing.

postgres:
  # postgres://USER:PASSWORD@HOST:5432/DATABASE
  url: ${DATABASE_URL}

`, comment(s.database))
	s.writeClaims(&b)
	b.WriteString(authText)
	b.WriteString("\nchannels:\n")
	names := s.channelNames()
	for i, t := range s.tables {
		if i > 0 {
			b.WriteString("\n")
		}
		t.write(&b, names[i], s.users)
	}
	return b.String()
}

// authText is what the configuration says of sessions: examples, and what lets it start
// without them.
const authText = `
# Who is signed in, from the application's own session: uncomment the line of its framework.
# config.example.yaml has every key, docs/sessions/ a page for each framework, and
# "walrelay auth explain" prints what a preset fills in. The table of the sessions cannot have
# a channel: remove it below.
auth:
  # - {preset: express-passport, secrets: [env:SESSION_SECRET]}
  # - {preset: django, secrets: [env:DJANGO_SECRET_KEY]}
  # - {preset: rails8, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: devise, cookie: _APP_session, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: laravel, cookie: laravel_session, secrets: [env:APP_KEY]}
  # - {preset: phoenix, cookie: _APP_key, salt: SIGNING_SALT, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: authjs}
  # - {preset: better-auth, secrets: [env:BETTER_AUTH_SECRET]}
  # - forward: {url: "http://127.0.0.1:3000/api/me", cookies: [COOKIE], user: id}
  - anonymous: {} # without a session: public channels only; until another line is there, that is everybody
`

func (s *schema) writeClaims(b *strings.Builder) {
	if s.users == nil {
		b.WriteString("# What rules may know of a user. There is no table that looks like one of users: correct the type.\nclaims: {id: bigint}\n")
		return
	}
	fmt.Fprintf(b, "# What rules may know of a user: id is the key of %s.\nclaims: {id: %s}\n", comment(s.users.fullName()), claimTypeOf(s.users.column(s.users.userKey())))
}

// channelNames are names for the tables' channels, each another one. A table whose own name
// can be one has it.
func (s *schema) channelNames() []string {
	names, taken := make([]string, len(s.tables)), map[string]bool{}
	for _, plain := range []bool{true, false} {
		for i, t := range s.tables {
			name := channelName(t)
			if plain != (name == t.name || name == t.schema+"/"+t.name) {
				continue
			}
			names[i] = name
			for n := 2; taken[names[i]]; n++ {
				names[i] = fmt.Sprintf("%s_%d", name, n)
			}
			taken[names[i]] = true
		}
	}
	return names
}

var foreignInName = regexp.MustCompile(`[^a-z0-9_-]+`)

// channelName is a name for a table's channel: orders, or sales/orders in another schema
// than public.
func channelName(t *schemaTable) string {
	part := func(s string) string {
		return cmp.Or(strings.Trim(foreignInName.ReplaceAllString(strings.ToLower(s), "_"), "_"), "table")
	}
	if t.schema != "public" {
		return part(t.schema) + "/" + part(t.name)
	}
	return part(t.name)
}

// write writes the channel of a table, commented out where the table is unfit.
func (t *schemaTable) write(b *strings.Builder, name string, users *schemaTable) {
	lines := []string{
		yamlText(name) + ":",
		"  table: " + yamlText(unexpanded(replication.QuoteIdent(t.schema)+"."+replication.QuoteIdent(t.name))),
		"  columns: " + t.columnsText(),
	}
	if t.table.RLS {
		lines = append(lines, "  # It has row level security, which walrelay does not apply: allow must say what its policies say.")
	}
	for _, text := range t.needs {
		if len(t.unfit) > 0 {
			break // one thing after the other
		}
		lines = append(lines, "  # The allow below needs more than there is: "+comment(text))
	}
	lines = append(lines, "  # allow: "+t.allowText(users))
	prefix := "  "
	if len(t.unfit) > 0 {
		prefix = "  # "
		for _, text := range t.unfit {
			b.WriteString("  # " + comment(t.fullName()) + " cannot have a channel: " + comment(text) + "\n")
		}
	}
	for _, line := range lines {
		b.WriteString(prefix + line + "\n")
	}
}

// columnsText is the list of columns to send, without what the stream does not have and what
// looks secret.
func (t *schemaTable) columnsText() string {
	var send, secret []string
	for _, c := range t.table.Columns {
		switch {
		case !c.Published:
		case looksSecret(c.Name) && !slices.Contains(t.table.Key, c.Name):
			secret = append(secret, c.Name)
		default:
			send = append(send, yamlText(unexpanded(c.Name)))
		}
	}
	if len(send) == 0 {
		return `"*"`
	}
	text := "[" + strings.Join(send, ", ") + "]"
	if len(secret) > 0 {
		text += " # without " + comment(strings.Join(secret, ", "))
	}
	return text
}

// allowText is a rule to begin with, and what there is to decide.
func (t *schemaTable) allowText(users *schemaTable) string {
	if len(t.owners) == 0 {
		return "true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams"
	}
	rule := &filter.Compare{Op: filter.Eq, X: &filter.Row{Column: t.owners[0]}, Y: &filter.User{Claim: "id"}}
	text := yamlText(rule.String())
	switch {
	case t == users:
		return text + " # decide: may users see each other?"
	case len(t.owners) == 1:
		return text + " # decide: only the user that it points to?"
	}
	return text + " # decide: only this user? There are also " + comment(strings.Join(t.owners[1:], ", "))
}

// unexpanded is a value with ${NAME} as it stands there.
func unexpanded(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// plainYAML are texts that YAML takes as they are; words are those that it takes for
// something else.
var (
	plainYAML = regexp.MustCompile(`^[a-z_][A-Za-z0-9_./-]*("[A-Za-z0-9 _-]*")?( == [a-z][A-Za-z0-9_.]*)?$`)
	yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// yamlText is a text as a YAML scalar on one line.
func yamlText(s string) string {
	if plainYAML.MatchString(s) && !slices.Contains(yamlWords, s) {
		return s
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return strconv.QuoteToASCII(s)
}

// comment is a text that stays on its line.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
