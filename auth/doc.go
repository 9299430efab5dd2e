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
//   - Neither cookies nor tokens leave the package: not in errors, not in logs. A
//     [Secret] shows itself to nobody. What is wrong with a cookie is a [Reason].
//
// # Decoders
//
// A decoder checks and opens the cookies of one framework: it is pure, and the clock
// comes from outside. What it answers is either the key of a row or a session of its
// own, and when it ends.
//
//	Cookie headers --jar.candidates--> cookie --decoder.decode--> decoded --storeKey, storeHash--> key of the row
//	                 names, chunks             MAC, then the rest           `from`, `hash`
//	                                                      column of the row --payloadDecoder--> session
//
// All of them keep to these rules, whatever the framework itself lets pass:
//
//   - MAC before anything else: nothing is decrypted, unpacked or parsed that no key
//     has sealed. Envelopes that must be read to find the MAC are read within the
//     limits. MACs are compared in constant time, each with all keys of the ring.
//   - The text of a signature has one spelling. Tags and IVs have their full length.
//   - A cookie that was made for another name is refused where the framework binds it
//     to one.
//   - 16 KiB come in, 256 KiB are unpacked, 64 levels and 16384 values are read.
//     What a length announces is never allocated before it is there.
//   - Marshal, pickle and PHP objects are never loaded. Gob and Erlang terms are read
//     by our own readers: plain values only.
//   - Errors are made of constants. No byte of a cookie, a key or a payload can be in
//     one.
//
// # Sessions
//
// [Sessions] asks the decoders, the store and the claims, and keeps what it found for as
// long as streams need it.
//
//		request --pick--> entry --source.ask--> question --lookups--> found --admit--> Session <--Attach-- stream
//		                                                                                  ^
//		WAL --replication--> Observe --source.row, source.touched--> end, pause, reread --+
//
//	  - Observe runs before any reader of the event log can see the change or a later one: no
//	    row that was committed after a session's DELETE is sent on its streams.
//	  - A change that came by replication may be invisible to queries yet. Every change that
//	    concerns sessions is noted (recent), and a look-up counts only when its snapshot has
//	    all that concern it; transaction ids are compared, never LSNs.
//	  - A session is one generation. Once it has ended it is never revived; who comes back is
//	    resolved again.
//	  - What only Postgres knows (claims after a change of their rows) is looked up again while
//	    the streams pause: equal claims let them go on, others end them.
package auth
