// Package auth says who sends a request. httpapi asks it once for every stream,
// before the hub is asked, and hands on what it answers.
//
// # Contract
//
//   - [Claims] are made by this package only, after what the request carried was
//     verified. The zero Claims are nobody: they open channels that say
//     "allow: public" and nothing else.
//   - A [Resolver] answers with claims, with [ErrNoSession] (final: the answer is
//     401, a browser's EventSource stops), or with any other error (transient: the
//     browser is told to come back). It never answers with claims of which it is
//     not sure.
//   - Neither cookies nor tokens leave the package: not in errors, not in logs.
//
// This version has one resolver, [Anonymous]. It reads no session, so every
// channel that asks who the user is must be refused when the configuration is
// read.
package auth
