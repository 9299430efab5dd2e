package httpapi

import (
	"context"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
)

// Hub is what this package needs of *channel.Hub; [FromHub] adapts one. Safe for
// concurrent use.
type Hub interface {
	// Subscribe returns once the subscription is in place. Its errors are those of
	// channel.Hub.Subscribe.
	Subscribe(ctx context.Context, r channel.Request) (Subscriber, error)
	Stats() channel.Stats
}

// Subscriber is what this package needs of *channel.Subscriber, which documents the
// methods. One goroutine at a time calls them; those of auth.Stream are anybody's.
type Subscriber interface {
	auth.Stream
	Changed() <-chan struct{}
	Bind(r *channel.Ready, id uint64)
	Take() []*channel.Run
	Next() (runs []*channel.Run, end string, ended bool)
	Ended() (reason string, ended bool)
	Complete() channel.EventID
	Held() bool
	Compresses() bool
	Close()
}

// FromHub makes h a Hub.
func FromHub(h *channel.Hub) Hub { return hubAdapter{h} }

type hubAdapter struct{ *channel.Hub }

func (a hubAdapter) Subscribe(ctx context.Context, r channel.Request) (Subscriber, error) {
	s, err := a.Hub.Subscribe(ctx, r)
	if err != nil {
		return nil, err
	}
	return s, nil
}
