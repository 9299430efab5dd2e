package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/walrelay/walrelay/demo"
)

func newDemoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything on this machine: a throw-away Postgres, an application, and walrelay",
		Long: "Starts a throw-away Postgres cluster, a small application that knows nothing of walrelay, and walrelay in front of it;\n" +
			"prints the address of the page and every row change. Ctrl-C ends everything and leaves nothing behind.",
		Args: cobra.NoArgs,
	}
	o := demo.Options{Out: os.Stdout, In: os.Stdin}
	cmd.Flags().StringVar(&o.Listen, "listen", "", "address of the page, host:port (default: :8080, or a free port)")
	cmd.Flags().StringVar(&o.PGBin, "pg-bin", "", "directory of the Postgres binaries (default: found)")
	cmd.Flags().DurationVar(&o.For, "for", 0, "end after this time (default: never)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.Binary, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program's own file: %w", err)
		}
		o.Color = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed
		defer stop()
		return demo.Run(ctx, o)
	}
	return cmd
}

// newDemoAppCommand is what the demo runs as the application's process.
func newDemoAppCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "demo-app",
		Short:              "The demo's application",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return demo.App(cmd.Context(), args) },
	}
}
