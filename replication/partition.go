package replication

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// checkPartitioning: a partitioned table is published under its own name, but what
// the WAL carries of old rows, and whether Postgres lets the application UPDATE,
// follows the replica identity of each partition. Postgres does not hand that of
// the partitioned table down.
func (p *Preflight) checkPartitioning(ctx context.Context, conn *pgx.Conn, subject string, spec TableSpec, t *Table) error {
	if t.Kind != 'p' {
		return nil
	}
	leaves, err := readLeaves(ctx, conn, t)
	if err != nil {
		return err
	}
	var refuse, poor, outside []string
	for _, l := range leaves {
		switch {
		case l.Kind != 'r' || l.Persists != 'p':
			outside = append(outside, l.Name)
		case l.Identity == 'f':
		case len(l.IdentityColumns) == 0:
			refuse = append(refuse, l.Name)
		case slices.ContainsFunc(t.IdentityColumns, func(c string) bool { return !slices.Contains(l.IdentityColumns, c) }):
			poor = append(poor, l.Name)
		}
	}
	fs := &p.Findings
	if len(refuse) > 0 {
		fs.add(Error, subject, some("partition", refuse)+" without usable replica identity: once it is published, Postgres refuses the application's UPDATE and DELETE there", fullSQL(refuse))
	}
	if len(poor) > 0 {
		fs.add(Error, subject, some("partition", poor)+" with another replica identity than the partitioned table's, which lacks columns of it: what a row was before an UPDATE or DELETE would be NULL", fullSQL(poor))
	}
	if len(outside) > 0 {
		severity := Warning
		if spec.Watched {
			severity = Error
		}
		fs.add(severity, subject, some("partition", outside)+" foreign or UNLOGGED: changes there are not in the WAL", "")
	}
	if spec.Private { // check says it of channels
		fs.add(Warning, subject, "it is partitioned: Postgres does not publish the TRUNCATE of a single partition, nor that one is detached or dropped, so sessions and claims of rows there go on", "")
	}
	if t.Identity == 'f' {
		consequence := "or rows that leave a channel there cannot be told"
		if spec.Private {
			consequence = "or what a row was there is not known"
		}
		if len(t.Key) == 0 {
			consequence = "or Postgres refuses the application's UPDATE and DELETE there"
		}
		fs.add(Warning, subject, "every new partition needs REPLICA IDENTITY FULL of its own, "+consequence, "")
	}
	return nil
}

// some names a few of many.
func some(noun string, names []string) string {
	const shown = 3
	if len(names) > shown {
		return fmt.Sprintf("it has %ss (%s and %d more)", noun, strings.Join(names[:shown], ", "), len(names)-shown)
	}
	if len(names) > 1 {
		return fmt.Sprintf("it has %ss (%s)", noun, strings.Join(names, ", "))
	}
	return fmt.Sprintf("it has a %s (%s)", noun, names[0])
}

// fullSQL gives every table REPLICA IDENTITY FULL.
func fullSQL(quoted []string) string {
	sql := make([]string, len(quoted))
	for i, name := range quoted {
		sql[i] = "ALTER TABLE " + name + " REPLICA IDENTITY FULL;"
	}
	return strings.Join(sql, " ")
}

// checkAncestors: Postgres publishes the changes of a partition under the name of
// the topmost partitioned table that the publication contains.
func (p *Preflight) checkAncestors(t Target) {
	for _, spec := range t.Tables {
		table := p.Tables[spec.fullName()]
		if table == nil {
			continue
		}
		for _, ancestor := range table.Ancestors {
			configured := slices.ContainsFunc(t.Tables, func(s TableSpec) bool { return s.fullName() == ancestor })
			published := p.Publication != nil && slices.ContainsFunc(p.Publication.Tables, func(pt PublishedTable) bool { return pt.Schema+"."+pt.Name == ancestor })
			if !configured && !published {
				continue
			}
			fix := "configure only one of the two"
			if !configured {
				fix = "take " + ancestor + " out of publication " + t.Publication
			}
			f := Finding{Severity: Error, Subject: "table " + spec.fullName(), Table: spec.fullName(), Fix: fix, Ref: spec.Ref,
				Problem: "it is a partition of " + ancestor + ", which is published too: its changes arrive under that name and never on this channel"}
			if spec.Private { // nothing at all is streamed then: the log would get them
				f.Table = ""
				f.Problem = "it is a partition of " + ancestor + ", which is published too: its changes arrive under that name, and nobody would know that they are private"
			}
			p.Findings = append(p.Findings, f)
		}
	}
}
