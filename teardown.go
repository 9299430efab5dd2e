package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

func newTeardownCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "Drop the replication slot and the publication",
		Long: "Drops the replication slot and the publication that the configuration names, so that the database keeps no WAL for walrelay.\n" +
			"Clients cannot be resumed over this. The event log's directory stays. Refuses while walrelay is running.",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.LookupEnv)
		if err != nil {
			return err
		}
		t := target(cfg)
		if !*yes && !confirmed(cmd, t) {
			return fmt.Errorf("teardown: not confirmed, nothing was changed; answer y or use --yes")
		}
		done, err := replication.Teardown(cmd.Context(), t)
		for _, line := range done {
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		return err
	}
	return cmd
}

func confirmed(cmd *cobra.Command, t replication.Target) bool {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Drop replication slot %s and publication %s? [y/N] ", t.Slot, t.Publication)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // end of input is a no
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
