package channel

import (
	"errors"
	"fmt"
)

// Reason says why a client cannot be resumed exactly; it travels in reset events.
type Reason string

// The reasons of reset events (DESIGN.md section 3).
const (
	// ReasonExpired: the id is older than the log's retention.
	ReasonExpired Reason = "expired"
	// ReasonGap: changes were lost, the slot was dropped or recreated, or the log is damaged.
	ReasonGap Reason = "gap"
	// ReasonLineage: the id belongs to another cluster or timeline.
	ReasonLineage Reason = "lineage"
	// ReasonView: rules or channels changed since the id was given out.
	ReasonView Reason = "view"
	// ReasonTruncate: the table was truncated.
	ReasonTruncate Reason = "truncate"
	// ReasonUnknownID: the id is none of ours, or ahead of everything that exists.
	ReasonUnknownID Reason = "unknown-id"
	// ReasonSnapshot: the table has more rows than a snapshot may have; the client must fetch
	// them elsewhere.
	ReasonSnapshot Reason = "snapshot-required"
)

var reasons = []Reason{ReasonExpired, ReasonGap, ReasonLineage, ReasonView, ReasonTruncate, ReasonUnknownID, ReasonSnapshot}

// Errors of Subscribe that pass: the client should come back.
var (
	// ErrStarting: the hub does not run yet, or the catalog has not been read yet.
	ErrStarting = errors.New("walrelay is starting: the schema has not been read from Postgres yet")
	// ErrDraining: the hub is shutting down.
	ErrDraining = errors.New("walrelay is shutting down")
)

// UnknownChannelError is final: no rule has the name.
type UnknownChannelError struct{ Channel string }

func (e *UnknownChannelError) Error() string { return fmt.Sprintf("there is no channel %q", e.Channel) }

// ParamError is final: a parameter of a channel's name cannot be a value of its column.
type ParamError struct{ Channel, Param, Reason string }

func (e *ParamError) Error() string {
	return fmt.Sprintf("channel %q: parameter %s: %s", e.Channel, e.Param, e.Reason)
}

// ErrTableChanged: a table is not what the rules were checked against.
var ErrTableChanged = errors.New("the table has been altered")

// RefusedError is final: what the channel's rule says of the user alone is not true.
type RefusedError struct {
	Channel string
	// Expr is that part of the rule, without values.
	Expr string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("channel %q: not allowed: %s is not true for this user", e.Channel, e.Expr)
}

// NoUserError is final: the channel is for users, and nobody is signed in.
type NoUserError struct{ Channel string }

func (e *NoUserError) Error() string {
	return fmt.Sprintf("channel %q needs a session", e.Channel)
}

// ScanLimitError passes: the channel's rule has no index path for this user, and as many
// as may be are tried for every change already.
type ScanLimitError struct {
	Channel string
	Limit   int
}

func (e *ScanLimitError) Error() string {
	return fmt.Sprintf("channel %q: the rule cannot be indexed, and %d audiences are tried for every change already (http.limits.max_scan_audiences)", e.Channel, e.Limit)
}
