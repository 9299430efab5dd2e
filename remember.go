package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// tablesFile holds what the catalog said of the tables, so that channels can be served from the
// log when walrelay starts while Postgres is away. It lies beside the log, and is no more than a copy: the
// relation versions in the log decide how rows are read.
func tablesFile(cfg *config.Config) string { return filepath.Join(cfg.Log.Dir, "tables.json") }

// rememberedTables are the tables as of the last run, as far as they are known.
func rememberedTables(cfg *config.Config) map[string]*replication.Table {
	text, err := os.ReadFile(tablesFile(cfg))
	if err != nil {
		return nil
	}
	var tables map[string]*replication.Table
	if err := json.Unmarshal(text, &tables); err != nil {
		return nil // it is read from the catalog again
	}
	return tables
}

// rememberTables keeps them for the next run.
func rememberTables(cfg *config.Config, tables map[string]*replication.Table) error {
	text, err := json.Marshal(tables)
	if err != nil {
		return fmt.Errorf("write tables: %w", err)
	}
	name := tablesFile(cfg)
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
