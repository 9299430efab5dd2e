// Package shop is Fig & Fennel, a small food market with an orders page: an
// ordinary application on net/http, html and Postgres, for a demonstration of
// what reads along behind its database. It has its own tables, makes its own
// writes, and publishes nothing: it neither sends notifications nor keeps a queue.
//
// Its business runs by itself, a few transactions a second: orders are placed,
// paid, packed, carried to the customer by a courier, and removed some time after;
// a few are cancelled. The buttons on its page do the same things by hand.
//
//	GET    /                       the page (plain HTML, CSS and JavaScript)
//	GET    /api/rows               the current rows of every table, and an LSN
//	GET    /api/check              count and checksum of every table
//	POST   /orders?count=n         places n orders (default 1) in one transaction
//	POST   /orders/{id}/advance    moves an order to its next status
//	POST   /orders/{id}/cancel     cancels it
//	DELETE /orders/{id}            removes a finished one
//	POST   /business?run=false     stops or starts the business
//
// Its customers have shopping lists, each their own, and sign in for them. Sessions are
// rows of a table, and the cookie carries the row's key, signed.
//
//	GET    /list                   the page of the list
//	POST   /login                  name and password; sets the cookie
//	POST   /logout                 deletes the session; ?everywhere=true all of the user's
//	GET    /api/me                 who is signed in
//	POST   /list                   puts an item on the list
//	POST   /list/{id}/toggle       ticks it
//	DELETE /list/{id}              removes it
//
// The page subscribes to row changes at /events on its own origin, a path that
// this application does not serve.
package shop
