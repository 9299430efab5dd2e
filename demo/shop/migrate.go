package shop

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the database's tables up to date: every file in migrations runs
// once, in the order of the names, all in one transaction.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Serialises shops that start at the same time.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('fig and fennel: migrate'))`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `create table if not exists shop_migrations (name text primary key)`); err != nil {
			return err
		}
		for _, name := range names {
			if err := migrateOne(ctx, tx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func migrateOne(ctx context.Context, tx pgx.Tx, name string) error {
	tag, err := tx.Exec(ctx, `insert into shop_migrations values ($1) on conflict do nothing`, name)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	script, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, string(script))
	return err
}
