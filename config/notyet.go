package config

// What later versions bring, and what is said to a file that uses it already.
// An entry goes away with the version that reads the key. Everything here is
// refused and not ignored: nobody would get what the file says.

// notYet are the keys, with * for the name of a channel.
var notYet = map[string]string{
	"log.nats": "a log shared by several nodes is not in this version yet; remove the key. " +
		"Refusing to start, because this node would keep a log of its own",
}
