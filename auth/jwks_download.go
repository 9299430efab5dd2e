package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// download asks once. No byte of the answer is in an error.
func (f *keyFetcher) download(ctx context.Context) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	q := (&http.Request{Method: http.MethodGet, URL: f.url, Host: f.url.Host, Header: http.Header{}}).WithContext(ctx)
	q.Header.Set("Accept", "application/jwk-set+json, application/json")
	q.Header.Set("Accept-Encoding", "identity")
	q.Header.Set("User-Agent", "walrelay")
	resp, err := f.client.Do(q)
	if err != nil {
		return nil, connectionTrouble(err, keysTimeout)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the answer is %d: %w", resp.StatusCode, badKeyStatus(resp.StatusCode))
	case err != nil:
		return nil, connectionTrouble(err, keysTimeout)
	case !uncoded(resp.Header["Content-Encoding"]):
		return nil, errors.New("the answer is compressed, which nobody has asked for")
	}
	return parseKeySet(body)
}

func badKeyStatus(status int) error {
	switch {
	case status >= 300 && status < 400:
		return errors.New("redirects are not followed; set jwks to the URL that it leads to")
	case status >= 500:
		return errors.New("who signs the tokens has failed itself")
	}
	return errors.New("look whether jwks is the jwks_uri of the issuer's /.well-known/openid-configuration")
}
