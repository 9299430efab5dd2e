package shop

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

const (
	sessionCookie = "shop_session"
	sessionTime   = 12 * time.Hour
)

// user is who is signed in.
type user struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// errWho is the answer to who is not, or not any more, signed in.
var errWho = errors.New("nobody is signed in")

// errLogin does not tell which of the two is wrong.
var errLogin = errors.New("there is no such user, or the password is wrong")

// login makes a session for who knows the password, in the place of the one that the
// browser may have had. It returns the session's id.
func (s *store) login(ctx context.Context, name, password, former string) (id string, u user, err error) {
	if !isText(name) {
		return "", user{}, errLogin
	}
	var hash string
	err = s.pool.QueryRow(ctx, `select id, name, password from users where lower(name) = lower($1)`, name).Scan(&u.ID, &u.Name, &hash)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !passwordFits(password, hash) {
		return "", user{}, errLogin
	}
	if err != nil {
		return "", user{}, err
	}
	id = rand.Text()
	return id, u, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `delete from sessions where id = $1 or expires_at < now()`, former); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into sessions values ($1, $2, now() + $3)`, id, u.ID, sessionTime)
		return err
	})
}

// logout ends a session, or everywhere all sessions of its user.
func (s *store) logout(ctx context.Context, id string, everywhere bool) error {
	sql := `delete from sessions where id = $1`
	if everywhere {
		sql = `delete from sessions where user_id = (select user_id from sessions where id = $1)`
	}
	_, err := s.pool.Exec(ctx, sql, id)
	return err
}

// who finds the user of a session.
func (s *store) who(ctx context.Context, id string) (u user, err error) {
	err = s.pool.QueryRow(ctx, `select u.id, u.name from sessions s join users u on u.id = s.user_id
		where s.id = $1 and s.expires_at > now()`, id).Scan(&u.ID, &u.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return user{}, errWho
	}
	return u, err
}

// isText reports whether Postgres takes text.
func isText(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// cookies signs the ids of sessions. The cookie is what express-session would send:
// "s:", the id, ".", and HMAC-SHA256(secret, id) in base64, percent-encoded.
type cookies struct{ secret []byte }

func (c cookies) mac(id string) string {
	h := hmac.New(sha256.New, c.secret)
	h.Write([]byte(id)) // a hash returns no errors
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// session is the id that a request carries, empty without one that we have signed.
func (c cookies) session(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	value, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return ""
	}
	id, mac, ok := strings.Cut(strings.TrimPrefix(value, "s:"), ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(c.mac(id))) {
		return ""
	}
	return id
}

// set gives the browser a session; an empty id takes it away. The demo has no TLS, so
// the cookie is not Secure.
func (c cookies) set(w http.ResponseWriter, id string) {
	cookie := &http.Cookie{Name: sessionCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1}
	if id != "" {
		cookie.Value, cookie.MaxAge = url.QueryEscape("s:"+id+"."+c.mac(id)), int(sessionTime.Seconds())
	}
	http.SetCookie(w, cookie)
}
