package filter

// warnings are what a person should know of a rule that can be used.
func (p *Program) warnings() []Problem {
	var all []Problem
	warn := func(c *cond, at Node, msg string) {
		w := *errorf(at.Pos(), "%s", msg)
		all = append(all, Problem{Part: c.part, Warning: true, Error: w})
	}
	p.warnNullable(warn)
	for i := range p.disjuncts {
		if d := &p.disjuncts[i]; d.scans() {
			c := d.rest[0]
			warn(c, c.src, "no index path: nothing here says row == user, so every change of the table is tried for every audience (max_scan_audiences limits them): "+
				shorten(textOf(d.rest)))
		}
	}
	sortProblems(all)
	return all
}

// warnNullable finds negations over columns that can be NULL: such a row is in nobody's
// set, which is SQL but often not what was meant. A rule that asks for NULL somewhere
// knows.
func (p *Program) warnNullable(warn func(*cond, Node, string)) {
	told := map[int]bool{}
	for _, root := range p.roots {
		root.walk(func(c *cond) {
			if c.op == condNull || c.op == condNotNull {
				if c.x.source == fromRow {
					told[p.slots[c.x.index].column] = true
				}
			}
		})
	}
	for _, root := range p.roots {
		root.walk(func(c *cond) {
			for _, o := range c.operands() {
				if o.source != fromRow || !c.isNegative() {
					continue
				}
				i := p.slots[o.index].column
				if col := &p.table.Columns[i]; !col.NotNull && !told[i] {
					told[i] = true
					name := (&Row{Column: col.Name}).String()
					warn(c, o.node, name+" can be NULL, and NULL rows never match here; if they should, add `|| "+name+" == null`")
				}
			}
		})
	}
}

// isNegative reports a comparison that is written as a negation.
func (c *cond) isNegative() bool {
	return c.op == condNe || c.op == condNotIn || c.negated && c.op >= condEq
}

// narrowing says what SQL makes of a condition.
type narrowing uint8

const (
	narrows narrowing = iota // fewer rows than the table has
	asks                     // nothing of the row
	fails                    // the whole table, although the condition asks for less
)

// ReadsWholeTable reports that Postgres cannot narrow down the rows of a snapshot, so that
// each one reads the whole table although the rule gives fewer rows: something that is not
// in [Binding.SQL] decides. A rule or a disjunct that gives all rows does not count.
func (p *Program) ReadsWholeTable() bool {
	all := asks
	for _, root := range p.roots {
		all = bothNarrow(all, p.narrowing(root))
	}
	return all == fails
}

// bothNarrow is for &&.
func bothNarrow(a, b narrowing) narrowing {
	switch {
	case a == narrows || b == narrows:
		return narrows
	case a == fails || b == fails:
		return fails
	}
	return asks
}

func (p *Program) narrowing(c *cond) narrowing {
	switch {
	case c.reads&readsRow == 0:
		return asks
	case c.op == condAnd:
		all := asks
		for _, t := range c.terms {
			all = bothNarrow(all, p.narrowing(t))
		}
		return all
	case c.op == condOr:
		for _, t := range c.terms {
			if p.narrowing(t) == fails {
				return fails
			}
		}
		return narrows
	case p.pushable(c):
		return narrows
	}
	return fails
}
