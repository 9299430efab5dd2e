package replication

import (
	"strings"

	"github.com/walrelay/walrelay/finding"
)

// Severity of a Finding.
type Severity = finding.Severity

// A Warning is worth knowing, an Error stops serve.
const (
	Warning = finding.Warning
	Error   = finding.Error
)

// Finding is one result of the preflight.
type Finding struct {
	Severity Severity
	// Subject is what it is about: wal_level, role app, slot walrelay, table public.orders.
	Subject string
	// Problem is one sentence without a full stop.
	Problem string
	// Fix is what to do, as SQL where SQL does it. Empty when there is nothing to do.
	Fix string
	// Table is schema.name when the finding is about one table only, else empty.
	Table string
	// Err is the error that the finding is of, for those that have a type; else nil.
	Err error
	// Ref is that of the ColumnUse or TableSpec that it came from, or nil.
	Ref any
}

func (f Finding) String() string { return finding.Line(f.Subject, f.Problem, f.Fix) }

// Findings of one preflight.
type Findings []Finding

// Errors are the findings that stop serve.
func (fs Findings) Errors() Findings {
	var out Findings
	for _, f := range fs {
		if f.Severity == Error {
			out = append(out, f)
		}
	}
	return out
}

func (fs *Findings) add(s Severity, subject, problem, fix string) {
	*fs = append(*fs, Finding{Severity: s, Subject: subject, Problem: problem, Fix: fix})
}

// PreflightError carries the findings that stopped serve.
type PreflightError struct{ Findings Findings }

func (e *PreflightError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the findings' own errors, such as *SlotLostError.
func (e *PreflightError) Unwrap() []error {
	var out []error
	for _, f := range e.Findings {
		if f.Err != nil {
			out = append(out, f.Err)
		}
	}
	return out
}
