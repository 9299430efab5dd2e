// Package enginetest is the suite that every [eventlog.Engine] passes, see [Run],
// and two engines for tests: [Memory] and [Faulty].
package enginetest
