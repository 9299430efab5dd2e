// Package fault marks the places of the daemon where its tests end it or stop it:
// between receiving and storing, between storing and confirming, and so on. It is the
// one place where the daemon knows of tests.
//
// In an ordinary build [At] is empty and inlined away, and [NoSync] is a constant.
// With the build tag faults, as the integration tests build it, the environment says
// what is to happen:
//
//	WALRELAY_FAULT=kill:stored:3    kill -9 when stored is reached for the third time
//	WALRELAY_FAULT=stop:stored:3    SIGSTOP instead
//	WALRELAY_FAULT=hold:stored:3    the goroutine that reaches it stays there and says so on stderr, the others go on
//	WALRELAY_FAULT=nosync           the event log does not sync; a test of the tests
//
// Anything else ends the process with exit code 1: a test that injects nothing
// would pass. Points may be reached by any number of goroutines.
package fault

// Point is a named place on the way of a row.
type Point string

// The points, in the order of the way of a row.
const (
	PublicationReady Point = "publication-ready" // the publication has its tables, the slot may not exist
	SlotCreated      Point = "slot-created"      // the slot exists, the event log does not know of it
	Begun            Point = "begun"             // the event log has begun a generation, nothing was received
	Received         Point = "received"          // a change is in the batch that is being filled
	Taken            Point = "taken"             // a batch is closed, the event log does not have it
	Published        Point = "published"         // readers see a batch that is not durable
	Stored           Point = "stored"            // a batch is durable and not confirmed
	Rotated          Point = "rotated"           // the event log has begun a segment, with nothing in it
	Trimmed          Point = "trimmed"           // the oldest segment is gone
	Confirmed        Point = "confirmed"         // Postgres was sent a confirmation
	Written          Point = "written"           // bytes were handed to a client's socket
)

// Points lists all of them.
var Points = []Point{PublicationReady, SlotCreated, Begun, Received, Taken, Published, Stored, Rotated, Trimmed, Confirmed, Written}
