package demo

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/walrelay/walrelay/demo/shop"
)

// App is the command `walrelay demo-app`: the shop alone, until ctx ends. args are
// those after the command's name. The flags --database-url and --listen default to
// the environment variables DATABASE_URL and LISTEN; the secret that signs cookies is in
// the file --secret-file, else in SESSION_SECRET.
func App(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo-app", flag.ContinueOnError)
	url := flags.String("database-url", os.Getenv("DATABASE_URL"), "the shop's database, postgres://…")
	secretFile := flags.String("secret-file", "", "file with the secret that signs cookies")
	flags.SetOutput(io.Discard) // the error says what is wrong
	listen := flags.String("listen", os.Getenv("LISTEN"), "address of its pages, host:port")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("demo-app: %w; its flags are --database-url, --listen and --secret-file", err)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("demo-app: unexpected argument %q", flags.Arg(0))
	case *url == "":
		return errors.New("demo-app: no database; name it with --database-url or DATABASE_URL")
	case *listen == "":
		return errors.New("demo-app: no address; name it with --listen or LISTEN, for example 127.0.0.1:3000")
	}
	secret, err := sessionSecret(*secretFile)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return shop.Run(ctx, shop.Options{DatabaseURL: *url, Listen: *listen, Secret: secret, Logger: log})
}

func sessionSecret(file string) ([]byte, error) {
	if file == "" {
		if secret := os.Getenv("SESSION_SECRET"); secret != "" {
			return []byte(secret), nil
		}
		return nil, errors.New("demo-app: no secret to sign cookies with; name its file with --secret-file, or set SESSION_SECRET")
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("demo-app: read the secret: %w", err)
	}
	return bytes.TrimSuffix(secret, []byte("\n")), nil
}
