// Walrelay reads row changes from Postgres by logical replication, decides with
// the rules in one YAML file who may see each row, and sends the rows to browsers
// as Server-Sent Events whose ids are LSNs, so that a browser that comes back goes
// on at exactly the row where it left.
//
// This package only parses commands and wires the others; docs/architecture.md
// shows the way of a row through them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/nearest"
)

// version is set by the linker (make build).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGXFSZ) // a limit of file size is an error of the event log, not the end
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		printError(err)
		stop()
		os.Exit(1)
	}
}

// printError writes one line per problem.
func printError(err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(os.Stderr, "walrelay: "+strings.TrimRight(line, "\n"))
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "walrelay",
		Short:         "Row changes from Postgres to browsers, with exact resume",
		Long:          "walrelay reads row changes from Postgres by logical replication and sends them to browsers as Server-Sent Events.\nWithout a command it serves.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	serve := newServeCommand()
	root.RunE = serve.RunE
	root.Flags().AddFlagSet(serve.Flags())
	root.AddCommand(serve, newCheckCommand(), newTailCommand(), newExplainCommand(), newAuthCommand(), newInitCommand(), newReloadCommand(), newTeardownCommand(), newDemoCommand(), newDemoAppCommand(), newVersionCommand())
	return root
}

// knownCommand refuses what is left when cobra has found no command.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q%s; walrelay --help lists them", args[0], nearest.Suggest(args[0], names))
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "walrelay", version) },
	}
}

// configFlag adds -c to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "walrelay.yaml", "configuration `file`")
}
