// Package pgtemp starts throw-away Postgres clusters: a real server in a
// directory of its own under the temp directory, gone when it is closed. The
// integration tests, the benchmarks and `walrelay demo` run on it.
//
// # What a cluster is
//
//   - wal_level=logical with room for 32 slots and 32 WAL senders, fsync off
//     unless asked for, locale C, encoding UTF8, time zone UTC.
//   - It listens on 127.0.0.1 (a free port) and on a unix socket in its own
//     directory. Every local user is let in without a password ([Options.HBA]
//     changes that), so it is for throw-away data only.
//   - The server's binaries are the machine's own ([FindBinaries]). Postgres
//     refuses to run as root; when this process is root, the server runs as the
//     user postgres, or nobody.
//   - Every cluster has a system identifier of its own, also when its files come
//     from the template.
//   - [Cluster.StartStandby] makes a standby of a running one, which can be promoted:
//     the only cluster that shares a system identifier with another.
//
// # Lifetime
//
// The context given to [Start] bounds the start, not the life of the cluster:
// that ends with [Cluster.Close]. If this process dies without calling Close,
// also by SIGKILL, a small shell process (see package guard) shuts the server
// down and removes its directory. Every goroutine started here has ended when
// Close returns.
//
// # Templates
//
// initdb takes most of the time of a start. Its result is kept in a cache
// directory ($WALRELAY_CACHE, else walrelay/ in [os.UserCacheDir]) under a name
// made of the server's version and the options of initdb, and copied from then
// on. Processes may share the cache: a template appears whole or not at all, by
// rename. Without a usable cache directory every start runs initdb.
//
// A Cluster may be used by several goroutines at once. Windows is not supported.
package pgtemp
