//go:build !linux

package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"
)

// shards exist on Linux only.
type shards struct{}

func newShards(context.Context, shardOptions) (*shards, error) { return nil, nil }

func (*shards) carry(*echo.Response, *http.Request, *stream) {}

func (*shards) wait() {}
