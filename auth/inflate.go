package auth

import (
	"bytes"
	"compress/zlib"
	"io"
)

// inflate unpacks zlib data, at most limit bytes of it.
func inflate(data []byte, limit int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, refuse(Malformed, "the packed part is not zlib")
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, refuse(Malformed, "the packed part is damaged")
	case len(out) > limit:
		return nil, refuse(TooLarge, "the payload unpacks to more than its limit")
	}
	return out, nil
}
