package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Load reads the file at path. The error is an *Errors when the file could be
// read but is not a valid configuration.
func Load(path string, env Env) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = " (name the file with -c; config.example.yaml is one to begin with)"
		}
		return nil, fmt.Errorf("read config: %w%s", err, hint)
	}
	return Parse(path, data, env)
}

// Parse reads a configuration; name stands for the file in messages. The error
// is an *Errors with all problems. It never panics, whatever the data.
func Parse(name string, data []byte, env Env) (*Config, error) {
	r := newReader(name, env)
	c := r.read(data)
	if err := r.errs.Err(); err != nil {
		return nil, err
	}
	return c, nil
}
