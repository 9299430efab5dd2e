package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/config"
)

func newReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make a running walrelay read its rules again",
		Long: "Asks a running walrelay, through its admin address, to read its configuration file again. Streams whose rules did not change\n" +
			"go on; the others get a reset. A file with mistakes changes nothing, and its problems are printed. SIGHUP does the same.",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	base := cmd.Flags().String("url", "", "admin address, for example http://127.0.0.1:9090 (default: from the configuration)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *base == "" {
			cfg, err := config.Load(*path, os.LookupEnv)
			if err != nil {
				return err
			}
			*base = adminURL(cfg)
		}
		said, err := reload(cmd.Context(), *base)
		if said != "" {
			fmt.Fprintln(cmd.OutOrStdout(), said)
		}
		return err
	}
	return cmd
}

// reload asks the walrelay at an admin address to read its file again and gives its
// answer. The error has a line for each problem of the file.
func reload(ctx context.Context, admin string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(admin, "/")+"/reload", nil)
	if err != nil {
		return "", fmt.Errorf("reload %s: not an address; --url is like http://127.0.0.1:9090", admin)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("reload: %w; fix: start walrelay, or correct admin.listen or --url", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("reload: read the answer of %s: %w", admin, err)
	}
	said := answer(body, resp.Status)
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(said)
	}
	return said, nil
}

// answer is what the admin server says: the message of {"message": ...}, which may have
// several lines, or any other text as it is.
func answer(body []byte, status string) string {
	var a struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &a) == nil && a.Message != "" {
		return strings.TrimRight(a.Message, "\n")
	}
	if text := strings.TrimSpace(string(body)); text != "" {
		return text
	}
	return status
}
