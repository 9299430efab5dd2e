package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// fetchTables asks the shop for its rows, and for the LSN from which changes continue
// them.
func fetchTables(ctx context.Context, shop string) (t tables, lsn string, err error) {
	status, body, err := get(ctx, "http://"+shop+"/api/rows")
	if err != nil {
		return nil, "", fmt.Errorf("demo: ask the shop for its rows: %w", err)
	}
	if status != http.StatusOK {
		return nil, "", fmt.Errorf("demo: ask the shop for its rows: status %d: %s", status, body)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, "", fmt.Errorf("demo: the shop's rows: %w", err)
	}
	if err := json.Unmarshal(all["lsn"], &lsn); err != nil {
		return nil, "", fmt.Errorf("demo: the shop's LSN: %w", err)
	}
	t = newTables()
	for _, c := range channels {
		var rows []*row
		if err := json.Unmarshal(all[c], &rows); err != nil {
			return nil, "", fmt.Errorf("demo: the shop's %s: %w", c, err)
		}
		t.put(c, rows)
	}
	return t, lsn, nil
}

// pauseShop stops the shop's business.
func pauseShop(ctx context.Context, shop string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+shop+"/business?run=false", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("demo: stop the shop's business: %w", err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("demo: stop the shop's business: status %d: %s", response.StatusCode, body)
	}
	return nil
}
