// Package channel turns changes into the events that each subscriber may see:
// step 4 of the way of a row (docs/architecture.md). It reads batches from the
// event log, matches them against the rules, renders each event once and hands
// the same bytes to everybody who gets it. It imports change, eventlog and
// filter, knows nothing of HTTP, and does no I/O but reading the log.
//
// # Terms
//
// A [Rule] is one configured channel; with its parameters bound (order/7) it is
// an audience: subscribers that the rule cannot tell apart. Subscribers with the
// same set of audiences share a view and with it the view tag; a view receives
// one sequence of events. A lane is one cursor over the log plus an index of the
// subscribers that ride it. The live lane is at the head; subscribers that
// resume ride catch-up lanes, which run the same code and merge into the live
// lane. A [Run] is a piece of a view's sequence in bytes, shared by all its
// subscribers.
//
// # Promises
//
//   - A subscriber gets the events of its view in position order, each position
//     once, without a gap, from the position that it named; where that cannot be,
//     it gets reset with a reason.
//   - The id of a frame is the position up to which the subscriber is complete
//     once it has read that frame. Of several events at one position only the
//     last carries the id, so that a cut between them repeats instead of losing.
//   - A heartbeat's id is never ahead of what was evaluated for that subscriber
//     and queued before it.
//   - A subscriber holds at most its queue limit of unwritten bytes (plus one
//     run); over that it leaves its lane and comes back by a catch-up lane at its
//     last queued position. Nobody waits for it.
//   - Once [Subscriber.End] has returned, its owner gets nothing any more, not even
//     what was queued before; while [Subscriber.Pause] lasts it gets nothing, and
//     loses nothing.
//
// # Lock order
//
// Hub.mu before Subscriber.mu, and both before Ready.mu, under which nothing is called; a lane's
// own fields belong to its goroutine alone, others speak to it through its inbox.
// Owners are woken while no Subscriber.mu is held.
package channel
