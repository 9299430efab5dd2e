// Package demo is `walrelay demo`: everything on one machine, to look at. It starts a
// throw-away Postgres cluster (package pgtemp), a small application (package shop) and
// walrelay, the two last as processes of their own, prints where the page is, and then
// shows every row change on the terminal as a subscriber over HTTP gets it.
//
// The terminal's subscriber does what a page does: it takes the rows and an LSN from
// the application, follows the stream from there, comes back with its last id when
// the connection ends, and compares the rows that result with those of the database.
// So the demo tells of itself whether something was lost or came twice.
//
// Nothing is left when [Run] returns: no process, no file. Should this process be
// killed, package guard does the same.
package demo
