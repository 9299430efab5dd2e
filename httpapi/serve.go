package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Serve answers requests until ctx ends, then drains. It returns nil after that, or
// why a listener failed or the drain left something behind. Listen comes before it;
// it runs once.
func (s *Server) Serve(ctx context.Context) error {
	if s.publicLn == nil {
		return errors.New("httpapi: Serve without Listen")
	}
	if err := s.startShards(); err != nil {
		return errors.Join(err, s.Close())
	}
	s.logStart()
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error { return s.servePublic() })
	if s.adminLn != nil {
		g.Go(func() error { return ignoreClosed("admin.listen", s.admin.Serve(s.adminLn)) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-failed.Done():
		case <-s.ctx.Done(): // Close
		}
		return s.drain()
	})
	return g.Wait()
}

func (s *Server) logStart() {
	attrs := []any{"public", s.Addr().String(), "base_path", s.opt.BasePath, "tls", s.opt.TLSCert != ""}
	if s.adminLn != nil {
		attrs = append(attrs, "admin", s.AdminAddr().String())
	}
	if s.opt.Upstream != "" {
		attrs = append(attrs, "upstream", redact(s.opt.Upstream))
	}
	s.log.Info("http server listens", attrs...)
}

func (s *Server) servePublic() error {
	if s.public.TLSConfig != nil {
		return ignoreClosed("http.listen", s.public.ServeTLS(s.publicLn, "", ""))
	}
	return ignoreClosed("http.listen", s.public.Serve(s.publicLn))
}

func ignoreClosed(key string, err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%s: serve: %w", key, err)
}

const (
	// lastRequests is how long requests may go on that are no streams. It is short
	// because connections on which a browser has not asked for anything yet use it up.
	lastRequests = time.Second
	// cutTimeout is how long requests may take to notice that they were cut off.
	cutTimeout = 5 * time.Second
)

// drain ends the streams, closes the listeners, and waits for every request. The
// admin listener goes last, so that /readyz can say what is going on.
func (s *Server) drain() error {
	s.streams.close()
	left := within(s.ctx, s.opt.ShutdownTimeout, s.streams.wait)
	if left > 0 {
		s.log.Warn("drain took longer than shutdown_timeout; the rest is cut off", "streams", left, "timeout", s.opt.ShutdownTimeout)
	}
	cause := within(s.ctx, lastRequests, s.public.Shutdown)
	if cause != nil {
		s.log.Debug("connections without a stream are cut off", "cause", cause)
	}
	s.cut() // also ends hijacked connections, of which http.Server knows nothing
	err := errors.Join(s.public.Close(), s.admin.Close(), s.awaitHandlers())
	s.shards.wait()
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return err
}

// within calls f with a context that ends after d, or with ctx.
func within[T any](ctx context.Context, d time.Duration, f func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

func (s *Server) awaitHandlers() error {
	s.handlers.close()
	if n := within(context.Background(), cutTimeout, s.handlers.wait); n > 0 {
		return fmt.Errorf("drain: %d requests have not ended", n)
	}
	return nil
}
