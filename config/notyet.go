package config

// What later versions bring, and what is said to a file that uses it already.
// An entry goes away with the version that reads the key. Everything here is
// refused and not ignored: without it rows would reach people, or pages states,
// that the file rules out.

// notYet are the keys, with * for the name of a channel.
var notYet = map[string]string{
	"auth": "sessions are not in this version yet; remove the key. " +
		"Refusing to start, because a server that does not ask who is there would leak",
	"claims": "claims come with sessions, which are not in this version yet; remove the key",
	"log.nats": "a log shared by several nodes is not in this version yet; remove the key. " +
		"Refusing to start, because this node would keep a log of its own",
	"http.limits.lookups":       "session look-ups are not in this version yet; remove the key",
	"http.limits.failed_per_ip": "session look-ups are not in this version yet; remove the key",
	"channels.*.snapshot": "snapshots are not in this version yet; remove the key. " +
		"Refusing to start, because pages would take the first changes for all rows",
}

// Values of keys that are read.
const (
	notYetAllow = `%s: only "allow: public" is in this version (sessions come with a later one); ` +
		"refusing to start, because a rule that is not applied would leak"
	notYetLoose = "loose is not in this version yet; remove the key, or write strict, which is the default"
)
