package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/replication"
)

func newInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [URL]",
		Short: "Write a configuration file from the schema of a database",
		Long: "Reads the schema of a database and writes a configuration with a channel for each table. Who may see a channel's rows is for you\n" +
			"to decide: the file has guesses, commented out, and walrelay does not start before each channel has its rule. The database comes\n" +
			"from the argument or from DATABASE_URL; its password is not written. Changes nothing in the database.",
		Example: "  walrelay init postgres://app@localhost:5432/shop",
		Args:    cobra.MaximumNArgs(1),
	}
	path := cmd.Flags().StringP("output", "o", "walrelay.yaml", "`file` to write, which must not exist, or - for standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		url := os.Getenv("DATABASE_URL")
		if len(args) > 0 {
			url = args[0]
		}
		if url == "" {
			return errors.New("init: which database? name it: walrelay init postgres://USER:PASSWORD@HOST:5432/DATABASE, or set DATABASE_URL")
		}
		s, err := readSchema(cmd.Context(), url)
		if err != nil {
			return err
		}
		if *path == "-" {
			_, err := fmt.Fprint(cmd.OutOrStdout(), s.yaml())
			return err
		}
		if err := writeNew(*path, s.yaml()); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s with %s; next: decide who may see each (allow), then walrelay check -c %[1]s\n", *path, count(s.usable(), "channel"))
		return nil
	}
	return cmd
}

// writeNew writes a file that does not exist yet.
func writeNew(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("init: %s exists and is not overwritten; fix: name another file with -o, or remove it", path)
	}
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}

func readSchema(ctx context.Context, url string) (*schema, error) {
	conn, err := replication.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return schemaOf(ctx, conn)
}
