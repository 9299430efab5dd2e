// Package httpapi carries events to clients over HTTP: step 5 of the way of a row
// (docs/architecture.md). It knows nothing of rows; what it sends is what the hub
// (package channel) rendered. The public listener has the streams, the admin
// listener health, metrics and profiles, and the two never share a port.
//
// # What a client may ask
//
//	GET {base}/order/7                    one channel; its name is the rest of the path
//	GET {base}?channel=orders&channel=…   several channels on one stream
//
// The Accept header chooses the transport: text/event-stream (also */* and none),
// application/x-ndjson (one JSON object a line), application/json (one long-poll
// answer, ?wait=25s). Last-Event-ID, ?last_event_id= and ?lastEventId= name where
// to go on, in this order of precedence; an empty value means none. An id that
// cannot be understood is no HTTP error, since a browser would never come back from
// one: the hub answers it in band with reset{unknown-id}.
//
// # What a client gets
//
// A native EventSource stops for ever at any status but 200. So only what cannot
// change by itself is answered with a status (400, 401, 403, 404, 405, 406, and 429
// to who has tried too many cookies, with a JSON body that says what to do). Trouble
// that passes is, for an event stream, 200 with retry: and event: end; for the other
// transports 503 or 429 with Retry-After.
//
// One stream has one writer: a sink. Both write everything pending at once, tell the client
// why a stream ends, end it when a write makes no progress within the write timeout, and
// write a heartbeat (an id-only frame) after an idle period, which finds clients that are gone.
//
// The response sink is one goroutine with one select over the end of the request, the drain,
// the stream's lifetime, the subscriber's wake-up and the heartbeat, and one flush for what is
// pending. It works for every protocol and system. What is buffered here for one stream is at
// most 32 KiB (ndjson: and one event), for a long poll its answer.
//
// Shards carry plain HTTP/1 over TCP, on Linux. Once everything that can be refused has been,
// the socket is taken from net/http and from Go's poller and given to one of a few goroutines,
// as many as processors; the head of the answer is the response sink's, with Connection: close.
// A stream there has no goroutine, no timer and no buffer: what the socket does not take is
// kept as references to shared runs. An epoll set tells of hang-ups, also half of one, and of
// room for a backlog. A lane lists all whom a batch concerns at once (channel.Ready), so a
// batch is one wake-up for each shard. Life, heartbeats and write timeouts are on a wheel that
// is turned by one timer; heartbeats are spread over a fifth of their time.
//
// A panic while a stream is served ends that stream, with a line in the log, and no other.
//
// The queue behind both belongs to the hub. Where a batch is only written in part, nothing more
// is taken from it, so that it overflows as it should.
//
// # Who asks
//
// A request is admitted in this order: the drain, the limits of connections, the hub
// without a user. Only where that says that a channel is for users is the resolver
// asked who it is, and the hub again. Then the stream is attached to the session,
// which may end or pause it at any moment from then on: what is queued is dropped, and
// what has been taken from the queue is cut off behind the run that is being written. A
// long poll is answered when that is no longer in question, and with 401 when it is over.
//
// # Life of a Server
//
// [New] checks options, [Server.Listen] opens the sockets, [Server.Serve] runs until
// its context ends and then drains: new streams are told to come back, open ones get
// end{draining} with a jittered retry, the listeners close, and every goroutine is
// waited for, shards too. Serve returns nil after a drain that went well.
//
// # Compression
//
// A stream all of whose channels say so is coded as the client likes best (package coding). An
// encoding inside a coding is an encoding too (coded), so both sinks write it as they write any
// other: a run's coded form is kept with the run and made by the writer who needs it first, for all
// streams and both sinks; what one stream alone gets is not compressed. A form is whole: a run that
// is being written when a stream ends is written to its end, and the end of the stream behind it. Only who has a run at the
// same time waits for the one who compresses it, at most for 1 MiB of text; more goes as it is.
//
// What this package does not do: it compresses no long polls, keeps no compressor for a
// stream (that would hold events back, and cost memory and time for each), it decides nothing about rows, and neither cookies, authorization headers
// nor query values get into its logs, metrics or error texts (an error names the
// channel that was asked for, nothing else of the request).
//
// # Lock order
//
// A shard holds no lock while it calls a subscriber or finishes a stream; who hands something to
// a shard holds its lock only to append to a list.
package httpapi
