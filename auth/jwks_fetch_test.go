package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

// signingKey is a key of an issuer.
type signingKey struct {
	kid    string
	public jose.JSONWebKey
	signer jose.Signer
}

// newSigningKey makes a key; without kid its tokens name none.
func newSigningKey(tb testing.TB, kid string) signingKey {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: kid}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return signingKey{kid: kid, public: jose.JSONWebKey{Key: public, KeyID: kid}, signer: signer}
}

// token is one of user 42 that lasts for a year.
func (k signingKey) token(tb testing.TB) string {
	tb.Helper()
	claims := fmt.Sprintf(`{"sub":"42","aud":"app","exp":%d}`, time.Now().Add(365*24*time.Hour).Unix())
	signed, err := k.signer.Sign([]byte(claims))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// issuer answers for its key set without a network, so that tests can be in a bubble.
type issuer struct {
	mu     sync.Mutex
	keys   []signingKey
	status int           // 0: 200
	hold   chan struct{} // not nil: answers wait until it is closed
	asked  []time.Time
}

func (i *issuer) publish(status int, keys ...signingKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.keys = status, keys
}

func (i *issuer) times() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]time.Time(nil), i.asked...)
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.asked = append(i.asked, time.Now())
	hold := i.hold
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	w := httptest.NewRecorder()
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if i.status != 0 {
		w.WriteHeader(i.status)
	}
	_, _ = w.Write(setOf(i.keys))
	return w.Result(), nil
}

func setOf(keys []signingKey) []byte {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.public)
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return text
}

// fetching is a fetcher that runs, with a decoder of its tokens.
type fetching struct {
	*keyFetcher
	decoder decoder
	log     *logged
	stop    func()
}

// idleFetcher is a fetcher of i that does not run, and its log.
func idleFetcher(t *testing.T, i http.RoundTripper) (*keyFetcher, *logged) {
	t.Helper()
	log := &logged{}
	f, err := newKeyFetcher(&url.URL{Scheme: "https", Host: "issuer.example", Path: "/keys"}, &http.Client{Transport: i}, time.Now, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return f, log
}

// fetchFrom runs a fetcher of i until the test, or stop, ends it.
func fetchFrom(t *testing.T, i http.RoundTripper) *fetching {
	t.Helper()
	f, log := idleFetcher(t, i)
	d, err := newDecoder("jwt", decodeOptions{keys: f, algorithms: []string{"EdDSA"}, audience: []string{"app"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return &fetching{keyFetcher: f, decoder: d, log: log, stop: stop}
}

// decodes with the keys in hand.
func (f *fetching) decodes(text string) error {
	_, err := f.decoder.decode(cookie{value: text}, time.Now())
	return err
}

// fresh decodes, with newer keys if need be.
func (f *fetching) fresh(t *testing.T, text string) error {
	_, err := f.decodeFresh(t.Context(), f.decoder, cookie{value: text}, time.Now())
	return err
}

// wantRefusal fails unless err is a refusal for reason; "": none; "later": a *NotReadyError.
func wantRefusal(t *testing.T, what string, err error, reason Reason) {
	t.Helper()
	var later *NotReadyError
	switch {
	case reason == "" && err == nil, reason == "later" && errors.As(err, &later), reason != "" && refusedAs(err, reason):
		return
	}
	t.Errorf("%s: %v, want %q", what, err, reason)
}

func TestKeysAreFetchedAtTheStart(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		wantRefusal(t, "a token that comes at once", f.fresh(t, one.token(t)), "")
		wantRefusal(t, "a token that comes later", f.decodes(one.token(t)), "")
		if n := len(i.times()); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// A token that is signed with a new key is good on first sight.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	one, two, three := newSigningKey(t, "one"), newSigningKey(t, "two"), newSigningKey(t, "three")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		i.publish(0, one, two)
		wantRefusal(t, "the new key's token", f.fresh(t, two.token(t)), "")
		wantRefusal(t, "the old key's token", f.fresh(t, one.token(t)), "")
		time.Sleep(10 * time.Second)
		i.publish(0, two, three)
		// Who was asked ten seconds ago is not asked again, so nobody knows yet.
		wantRefusal(t, "a third key's token", f.fresh(t, three.token(t)), "later")
		wantRefusal(t, "a key that has gone but is in the set", f.decodes(one.token(t)), "")
		time.Sleep(keysPause - 9*time.Second)
		wantRefusal(t, "the third key's token, a minute later", f.decodes(three.token(t)), "")
		wantRefusal(t, "a key that has gone", f.decodes(one.token(t)), UnknownKey)
		if n := len(i.times()); n != 3 {
			t.Errorf("%d fetches, want 3", n)
		}
	})
}

// Who signs without key ids and changes the key is found out too.
func TestKeyRotationWithoutIDs(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, ""), newSigningKey(t, "")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		wantRefusal(t, "the old key's token", f.fresh(t, one.token(t)), "")
		time.Sleep(10 * time.Minute)
		i.publish(0, two)
		wantRefusal(t, "the new key's token", f.fresh(t, two.token(t)), "")
		wantRefusal(t, "the old key's token", f.fresh(t, one.token(t)), UnknownKey)
	})
}

// Who does not wait for new keys finds them when it comes back.
func TestUnknownKeysAreFetched(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, "one"), newSigningKey(t, "two")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		i.publish(0, two)
		wantRefusal(t, "first sight", f.decodes(two.token(t)), UnknownKey)
		synctest.Wait()
		wantRefusal(t, "second sight", f.decodes(two.token(t)), "")
	})
}

// late is a decoder after whose first answer something happens.
type late struct {
	inner decoder
	then  func()
}

func (l *late) decode(c cookie, now time.Time) (decoded, error) {
	out, err := l.inner.decode(c, now)
	if l.then != nil {
		l.then()
		l.then = nil
	}
	return out, err
}

// Keys may come between a decoder's answer and the question for newer ones.
func TestKeysThatComeMeanwhile(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}, hold: make(chan struct{})}
		f := fetchFrom(t, i)
		synctest.Wait()
		d := &late{inner: f.decoder, then: func() { close(i.hold); synctest.Wait() }}
		_, err := f.decodeFresh(t.Context(), d, cookie{value: one.token(t)}, time.Now())
		wantRefusal(t, "a token that was a moment too early", err, "")
	})
}

// A key that nobody knows after a fetch is a final refusal, also for the next who names it.
func TestUnknownKeysAreFinal(t *testing.T) {
	t.Parallel()
	one, gone := newSigningKey(t, "one"), newSigningKey(t, "gone")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		wantRefusal(t, "first sight", f.fresh(t, gone.token(t)), UnknownKey)
		wantRefusal(t, "second sight", f.fresh(t, gone.token(t)), UnknownKey)
		time.Sleep(30 * time.Second)
		wantRefusal(t, "half a minute later", f.fresh(t, gone.token(t)), UnknownKey)
		if n := len(i.times()); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		time.Sleep(10 * time.Minute)
		i.publish(500)
		wantRefusal(t, "when the issuer fails", f.fresh(t, gone.token(t)), "later")
		wantRefusal(t, "after it has failed", f.fresh(t, gone.token(t)), "later")
		time.Sleep(10 * time.Minute)
		i.publish(0, one, gone)
		time.Sleep(2 * keysPause)
		wantRefusal(t, "when it has come back", f.decodes(gone.token(t)), "")
	})
}

// However many tokens with invented key ids come, the issuer is asked once a minute.
func TestKeyIDStorm(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		began := time.Now()
		var all sync.WaitGroup
		for storm := range 50 {
			all.Go(func() {
				for n := range 200 {
					kid := fmt.Sprintf("%d-%d", storm, n)
					f.candidates(kid, jose.EdDSA)
					if err := f.await(t.Context(), kid, f.good.Load()); err != nil && outcomeOf(err) != "not ready" {
						t.Error(err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		wantRefusal(t, "a good token in the storm", f.decodes(one.token(t)), "")
		var last time.Time
		count := 0
		for _, at := range i.times() {
			if at.Sub(last) < keysPause {
				t.Errorf("fetches %v apart", at.Sub(last))
			}
			if last = at; !at.Before(began) {
				count++
			}
		}
		if minutes := int(time.Since(began) / keysPause); count < minutes || count > minutes+1 {
			t.Errorf("%d fetches in %d minutes", count, minutes)
		}
	})
}

// Waiting for the same fetch is one fetch, and deciding without it does not wait for it.
func TestKeyFetchIsShared(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, "one"), newSigningKey(t, "two")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		i.publish(0, one, two)
		hold := make(chan struct{})
		i.mu.Lock()
		i.hold = hold
		i.mu.Unlock()
		text := two.token(t)
		errs := make(chan error, 100)
		for range cap(errs) {
			go func() { errs <- f.fresh(t, text) }()
		}
		synctest.Wait()
		if len(errs) > 0 {
			t.Errorf("decided while the fetch was under way: %v", <-errs)
		}
		wantRefusal(t, "a known key, meanwhile", f.decodes(one.token(t)), "")
		wantRefusal(t, "an unknown key, meanwhile", f.decodes(text), UnknownKey)
		time.Sleep(time.Second)
		gone := newSigningKey(t, "gone").token(t)
		last := make(chan error, 1)
		go func() { last <- f.fresh(t, gone) }()
		synctest.Wait()
		close(hold)
		for range cap(errs) {
			wantRefusal(t, "a token that has waited", <-errs, "")
		}
		wantRefusal(t, "a key that nobody knows", <-last, UnknownKey)
		wantRefusal(t, "the same, again", f.fresh(t, gone), UnknownKey)
		if n := len(i.times()); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

// The last good set is kept for a day, not longer.
func TestKeysAreKeptForADay(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		synctest.Wait()
		began := time.Now()
		text := one.token(t)
		i.publish(503)
		time.Sleep(keysKept - time.Second)
		wantRefusal(t, "before a day is over", f.decodes(text), "")
		// The issuer is away, so whether a key is good cannot be said.
		wantRefusal(t, "an unknown key", f.fresh(t, newSigningKey(t, "x").token(t)), "later")
		time.Sleep(time.Second)
		wantRefusal(t, "after a day", f.decodes(text), UnknownKey)
		wantRefusal(t, "after a day, asking", f.fresh(t, text), "later")
		// One line when it fails, one every ten minutes, one when the keys are too old.
		lines := strings.Count(f.log.String(), "\n")
		if most := int(time.Since(began)/troubleLasts) + 2; lines < 2 || lines > most {
			t.Errorf("%d lines in the log, want at most %d", lines, most)
		}
		if !strings.Contains(f.log.String(), "the last keys are used until 2000-01-02T00:00:00Z") {
			t.Error("the log does not say how long the keys are used")
		}
		time.Sleep(2 * keysPause)
		if !strings.Contains(f.log.String(), "the last keys are too old") {
			t.Error("the log does not say that there are no keys any more")
		}
		i.publish(0, one)
		time.Sleep(2 * keysPause)
		wantRefusal(t, "when the issuer is back", f.decodes(text), "")
		before := len(i.times())
		time.Sleep(3 * keysRefresh)
		if n := len(i.times()) - before; n > 4 {
			t.Errorf("%d fetches in three hours when the issuer is back", n)
		}
		if !strings.Contains(f.log.String(), "can be fetched again") {
			t.Error("the log does not say that it works again")
		}
	})
}

// Keys that are taken out of the set are out within the hour, whatever Cache-Control says.
func TestKeysAreRefreshedHourly(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, "one"), newSigningKey(t, "two")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		synctest.Wait()
		i.publish(0, two)
		time.Sleep(keysRefresh * 11 / 10)
		wantRefusal(t, "a key that was taken out", f.decodes(one.token(t)), UnknownKey)
		time.Sleep(98 * time.Hour)
		times := i.times()
		pauses := map[time.Duration]bool{}
		for n := range times[1:] {
			pause := times[n+1].Sub(times[n])
			pauses[pause] = true
			// The refused token has asked once.
			if pause > keysRefresh*11/10 || pause < keysRefresh*9/10 && n != 1 {
				t.Errorf("fetches %v apart", pause)
			}
		}
		if len(pauses) < 10 {
			t.Errorf("%d different pauses between %d fetches: all nodes ask at once", len(pauses), len(times))
		}
	})
}

// An issuer that starts after walrelay is found within seconds.
func TestKeysOfAnIssuerThatStartsLater(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{status: 502}
		f := fetchFrom(t, i)
		text := one.token(t)
		wantRefusal(t, "no keys", f.fresh(t, text), "later")
		time.Sleep(3 * time.Second)
		i.publish(0, one)
		time.Sleep(5 * time.Second)
		wantRefusal(t, "keys", f.decodes(text), "")
		i2 := &issuer{status: 502}
		f2 := fetchFrom(t, i2)
		time.Sleep(time.Hour)
		if n := len(i2.times()); n < 50 || n > 70 {
			t.Errorf("%d fetches in an hour without keys", n)
		}
		wantRefusal(t, "no keys after an hour", f2.fresh(t, text), "later")
	})
}

// Nobody waits for a fetch that will not come.
func TestKeysWhenStopping(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}, hold: make(chan struct{})}
		f := fetchFrom(t, i)
		began, text := time.Now(), one.token(t)
		errs := make(chan error, 1)
		go func() { errs <- f.fresh(t, text) }()
		synctest.Wait()
		f.stop()
		wantRefusal(t, "who waits when it stops", <-errs, "later")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited for %v", waited)
		}
		time.Sleep(2 * keysPause)
		began = time.Now()
		wantRefusal(t, "who comes after it has stopped", f.fresh(t, text), "later")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited for %v afterwards", waited)
		}
		if log := f.log.String(); log != "" {
			t.Errorf("stopping is logged as trouble: %s", log)
		}
	})
}

// run may stop between being asked and asking.
func TestKeysWhenStoppingAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := idleFetcher(t, &issuer{})
		began := time.Now()
		errs := make(chan error, 1)
		go func() { errs <- f.await(t.Context(), "one", nil) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.run(ctx); err != nil {
			t.Error(err)
		}
		wantRefusal(t, "who waits when it stops", <-errs, "later")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited for %v", waited)
		}
	})
}

// Waiting has an end, even if the issuer, or run, does not come.
func TestKeysThatDoNotCome(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		f := fetchFrom(t, &issuer{hold: make(chan struct{})})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.decodeFresh(ctx, f.decoder, cookie{value: one.token(t)}, time.Now())
		wantRefusal(t, "who goes away", err, "later")
		wantRefusal(t, "a fetch that hangs", f.fresh(t, one.token(t)), "later")
		alone, _ := idleFetcher(t, &issuer{})
		wantRefusal(t, "nobody fetches", alone.await(t.Context(), "one", nil), "later")
	})
}

// A session of Supabase holds its token in JSON.
func TestKeyRotationOfSupabase(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, "one"), newSigningKey(t, "two")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		d, err := newDecoder("supabase", decodeOptions{keys: f.keyFetcher, algorithms: []string{"EdDSA"}, audience: []string{"app"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		i.publish(0, two)
		value := "base64-" + base64.RawURLEncoding.EncodeToString([]byte(`{"access_token":"`+two.token(t)+`"}`))
		if id := tokenKeyID(value); id != "two" {
			t.Errorf("key id %q", id)
		}
		out, err := f.decodeFresh(t.Context(), d, cookie{value: value}, time.Now())
		if wantRefusal(t, "the new key's session", err, ""); out.payload["sub"] != "42" {
			t.Errorf("%v", out.payload)
		}
	})
}

// Without a fetcher, and with other refusals, nothing is fetched.
func TestDecodeFreshWithoutNeed(t *testing.T) {
	t.Parallel()
	one, other := newSigningKey(t, "one"), newSigningKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []signingKey{one}}
		f := fetchFrom(t, i)
		time.Sleep(10 * time.Minute)
		wantRefusal(t, "a forged token", f.fresh(t, other.token(t)), BadSignature)
		wantRefusal(t, "no token", f.fresh(t, "x"), Malformed)
		if n := len(i.times()); n != 1 {
			t.Errorf("%d fetches", n)
		}
		var none *keyFetcher
		_, err := none.decodeFresh(t.Context(), f.decoder, cookie{value: newSigningKey(t, "x").token(t)}, time.Now())
		wantRefusal(t, "without a fetcher", err, UnknownKey)
	})
}

// What cannot be a key set leaves the last one in place, and nothing of it is shown.
func TestHostileKeySets(t *testing.T) {
	t.Parallel()
	one := newSigningKey(t, "one")
	good := string(setOf([]signingKey{one}))
	answers := map[string]func(http.ResponseWriter, *http.Request){
		"an error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); _, _ = io.WriteString(w, good) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good?poison", http.StatusFound) },
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"no keys":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[],"poison":1}`) },
		"a page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>poison`) },
		"empty":      func(http.ResponseWriter, *http.Request) {},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, good+strings.Repeat(" ", maxKeySet))
		},
		"shared keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[{"kty":"oct","k":"cG9pc29u","kid":"poison"}]}`)
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, good)
		},
	}
	for _, name := range []string{"gzip bomb", "cut off", "no HTTP", "no status", "wrong header", "wrong chunk", "long header", "other protocol"} {
		answers[name] = hostileAnswers[name]
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/good" {
					_, _ = io.WriteString(w, good)
					return
				}
				answer(w, r)
			}))
			t.Cleanup(server.Close)
			u, err := url.Parse(server.URL + "/keys?key=poison")
			if err != nil {
				t.Fatal(err)
			}
			var log logged
			client := newOutbound(1, keysTimeout, nil)
			f, err := newKeyFetcher(u, &http.Client{Transport: client.Transport}, time.Now, log.logger())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(f.client.CloseIdleConnections)
			for _, want := range []int{0, 1} { // keys before and after
				f.fetch(t.Context())
				if got := len(f.candidates("one", jose.EdDSA)); got != want {
					t.Errorf("%d keys, want %d", got, want)
				}
				set, err := parseKeySet([]byte(good))
				if err != nil {
					t.Fatal(err)
				}
				f.good.Store(&fetchedKeys{set: set, at: time.Now()})
			}
			if !strings.Contains(log.String(), "fetch keys from "+server.URL+"/keys:") || strings.Contains(log.String(), "poison") {
				t.Errorf("the log: %s", &log)
			}
		})
	}
}

// The real client, whose connections are closed when run ends. The test must not be parallel.
func TestKeysOverHTTP(t *testing.T) {
	one := newSigningKey(t, "one")
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		_, _ = w.Write(setOf([]signingKey{one}))
	}))
	defer server.Close()
	before := goleak.IgnoreCurrent()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newKeyFetcher(u, nil, time.Now, (&logged{}).logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.run(ctx) }()
	if err := f.await(t.Context(), "one", nil); err != nil || len(f.candidates("one", jose.EdDSA)) != 1 {
		t.Errorf("no keys: %v", err)
	}
	cancel()
	if err := <-done; err != nil || header.Get("User-Agent") != "walrelay" || header.Get("Accept-Encoding") != "identity" {
		t.Errorf("run: %v; header %v", err, header)
	}
	goleak.VerifyNone(t, before)
}

func TestKeyURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://issuer.example/keys": "", "http://127.0.0.1:80/keys": "", "http://[::1]/keys": "", "http://localhost:9/keys": "", "https://10.0.0.1/keys": "",
		"http://issuer.example/keys": "must be https:", "http://10.0.0.1/keys": "must be https:", "http://127.0.0.1.evil.example/": "must be https:", "http://localhost.evil.example/": "must be https:",
		"ftp://127.0.0.1/": "must be the https URL", "/keys": "must be the https URL", "https:///keys": "must be the https URL", "https://poison:poison@issuer.example/": "holds a user",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newKeyFetcher(u, nil, time.Now, (&logged{}).logger())
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "jwks: "+want) || strings.Contains(err.Error(), "poison")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := newKeyFetcher(nil, nil, time.Now, nil); err == nil {
		t.Error("no URL is taken")
	}
}
