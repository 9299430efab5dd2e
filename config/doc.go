// Package config reads walrelay's configuration: one YAML file, strict. It
// decides what a file means and refuses what it cannot mean; whether tables and
// columns exist is checked later, against the live catalog, by code that reports
// through [Config.Errorf] so that both kinds of problem look the same.
//
// # Contract
//
// [Load] and [Parse] give a complete [Config] or an error; never both. Problems
// of the file are collected and returned together as [*Errors], one line each:
//
//	walrelay.yaml:31:12: channels.orders.allow: problem
//
// Columns count characters from 1, as editors do. Unknown and duplicate keys,
// wrong types, empty values and YAML tags are problems; so are anchors, aliases
// and merge keys under channels, where a value must stand where it is read.
// Rules must be there and say something: `allow` missing or empty is a problem, and so
// are claims that are not declared and parameters that nothing binds. So must auth: a file
// without it and without a public channel is a problem, and so is a channel on a table of
// sessions. Config.Auth has presets and defaults filled in. Values that a
// later version will understand (see notyet.go) are refused, not ignored. What a person
// should know of a valid file is in Config.Warnings.
//
// ${NAME} and ${NAME:-default} are replaced in values (not in keys) after YAML
// has been parsed, and the result is never parsed again, neither as YAML nor as
// an expression: `where` and `allow` are not expanded, so that what may be seen
// is decided by the file alone; nor is claims SQL. The default applies when the variable is unset
// or empty. $$ gives a $; a $ before anything else stands for itself.
//
// Secrets of auth are references only, which this package does not follow. What stands
// where a reference should be is never quoted: it may be the secret.
//
// No error quotes what a variable held, and what errors quote from the file is
// stripped of anything that looks like a connection string, so that passwords do
// not reach logs.
//
// # What it does not do
//
// It opens no file but the one it is given, with one exception: checking
// postgres.url follows libpq, which reads PG* variables, the service file, the
// password file and the certificates that the URL names. It does not touch the
// network, does not check that directories and certificates of other keys exist,
// and does not watch the file.
package config
