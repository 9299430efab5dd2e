// Package finding says how bad something is that a check has found, and how it is told. The
// packages that look at the database have findings of their own, with what belongs to them.
package finding

// Severity of a finding.
type Severity int

// A Warning is worth knowing, an Error stops serve.
const (
	Warning Severity = iota
	Error
)

func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Line tells a finding in one line: subject: problem, and the fix where there is one.
func Line(subject, problem, fix string) string {
	line := subject + ": " + problem
	if fix != "" {
		line += "; fix: " + fix
	}
	return line
}
