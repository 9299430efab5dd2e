// Package guard cleans up after a process that died without doing so itself:
// it ends the processes and removes the directories that the dead one had
// registered. It is how a test killed by SIGKILL, or a demo ended by Ctrl-C,
// leaves nothing behind.
//
// A guard is a /bin/sh in a session of its own (so Ctrl-C does not reach it)
// that reads commands from a pipe. Only the guarded process holds the pipe's
// other end, so its death, however it comes, is an end of file. Then the guard
// sends SIGQUIT to every registered process (Postgres: immediate shutdown),
// SIGKILL to those that are still there after ten seconds, and removes the
// registered directories.
//
// Linux's parent death signal would need no extra process, but it fires when
// the *thread* that started the child ends, which Go does not control, and it
// cannot remove a directory.
//
// What it does not do: survive the end of its own container or cgroup, and
// protect from the reuse of a process id, which is why [Guard.Forget] must
// follow as soon as a process has been waited for.
package guard
