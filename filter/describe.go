package filter

import "strings"

// Plan describes in words what is evaluated when, a line each, for walrelay check:
//
//	once per change: row.status != "draft"
//	at subscribe: params.room_id in user.rooms
//	hash[customer_id] U hash[team_id -> each of user.teams]
//
// The last line has the disjuncts. "all" is one without a key, whose subscribers get every row;
// what stands behind "then" is evaluated per row and audience that the key finds.
func (p *Program) Plan() []string {
	var lines []string
	for _, c := range p.once {
		lines = append(lines, "once per change: "+c.text())
	}
	for _, c := range p.gate {
		lines = append(lines, "at subscribe: "+c.text())
	}
	var union []string
	for i := range p.disjuncts {
		union = append(union, p.disjuncts[i].describe())
	}
	return append(lines, strings.Join(union, " U "))
}

func (d *disjunct) describe() string {
	text := "all"
	switch {
	case len(d.keys) > 0:
		text = "hash[" + describeKeys(d.keys) + "]"
	case d.scans():
		text = "every audience"
	}
	if len(d.user) > 0 {
		text += " (at subscribe: " + textOf(d.user) + ")"
	}
	if len(d.row) > 0 {
		text += " (once per change: " + textOf(d.row) + ")"
	}
	if len(d.rest) > 0 {
		text += " then " + textOf(d.rest)
	}
	return text
}

// scans reports that every row costs an evaluation for every binding.
func (d *disjunct) scans() bool { return len(d.keys) == 0 && len(d.rest) > 0 }

func describeKeys(keys []keyPart) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		name := strings.Replace(k.row.node.String(), "row.", "", 1)
		switch k.kind {
		case keyMember:
			name += " -> each of " + k.bound.node.String()
		case keyEach:
			name = "each of " + name
		}
		parts[i] = name
	}
	return strings.Join(parts, "; ")
}

// conjunction joins conditions in the words of the rule.
func conjunction(conds []*cond) Node {
	if len(conds) == 1 {
		return conds[0].node()
	}
	and := &And{}
	for _, c := range conds {
		and.Terms = append(and.Terms, c.node())
	}
	return and
}

func textOf(conds []*cond) string { return conjunction(conds).String() }
