package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// sessionTables are those of an application with express-session, connect-pg-simple and Passport.
// touch is what each of its requests does: it moves the end of a session, in the row's column and
// in its payload.
const sessionTables = `create table app_users(id int primary key, role text not null);
	create table session(sid varchar primary key, sess json not null, expire timestamp(6) not null);
	create table notes(id bigserial primary key, user_id int not null, body text not null);
	alter table notes replica identity full;
	create function sess(u int) returns json language sql as $$ select json_build_object('cookie',
		json_build_object('originalMaxAge', 86400000, 'expires', now() + interval '1 day', 'httpOnly', true, 'path', '/'), 'passport', json_build_object('user', u)) $$;
	create procedure touch(times int, among int) language plpgsql as $$ declare who text; begin for k in 1..times loop
		who := 's' || (1 + floor(random() * among))::int;
		update session set expire = now() at time zone 'UTC' + interval '1 day',
			sess = jsonb_set(sess::jsonb, '{cookie,expires}', to_jsonb(now() + interval '1 day'))::json where sid = who;
		commit; end loop; end $$`

// noSessionTables drops what sessionTables makes.
const noSessionTables = `drop table if exists app_users, session, notes; drop function if exists sess; drop procedure if exists touch`

// sessionChannels has the notes of each user, whom sessionAuth finds.
const (
	sessionChannels = "  notes:\n    table: public.notes\n    allow: row.user_id == user.id\n"
	sessionAuth     = `auth:
  - cookie: connect.sid
    decode: express
    secrets: ["file:%s"]
    store: {table: public.session, key: sid, expires: expire, data: {column: sess, format: json}}
    user: passport.user
    claims: select id, role from app_users where id = :user::int
    depends: [{table: public.app_users, key: id}]
    timezone: UTC
    max_stream: 24h
claims: {id: bigint, role: text}
`
	sessionSecret = "keyboard cat"
)

// sessionCookie is what the application's browser sends.
func sessionCookie(user int) string {
	id := fmt.Sprintf("s%d", user)
	mac := hmac.New(sha256.New, []byte(sessionSecret))
	mac.Write([]byte(id))
	return "connect.sid=" + url.QueryEscape("s:"+id+"."+base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
}

// startSessions makes the tables, with a session for each of all users, and a walrelay that
// knows them.
func (l *lab) startSessions(ctx context.Context, all int) (*relay, error) {
	auth, err := l.makeSessions(ctx, all)
	if err != nil {
		return nil, err
	}
	if err := l.cluster.Exec(ctx, `create publication revoke for table notes, session, app_users with (publish_via_partition_root = true)`); err != nil {
		return nil, err
	}
	if err := l.newSlot(ctx, "revoke"); err != nil {
		return nil, err
	}
	return l.startRelay(ctx, relayConfig{slot: "revoke", publication: "revoke", channels: sessionChannels, more: auth})
}

// makeSessions makes the tables, in place of those of an earlier measurement, with a session for
// each of all users from 1 on, and gives the configuration's sections for them.
func (l *lab) makeSessions(ctx context.Context, all int) (auth string, err error) {
	if err := l.cluster.Exec(ctx, noSessionTables, sessionTables,
		fmt.Sprintf(`insert into app_users select i, 'member' from generate_series(1, %d) i`, all),
		fmt.Sprintf(`insert into session select 's' || i, sess(i), now() at time zone 'UTC' + interval '1 day' from generate_series(1, %d) i`, all)); err != nil {
		return "", err
	}
	secret := filepath.Join(l.dir, "session-secret")
	if err := os.WriteFile(secret, []byte(sessionSecret), 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf(sessionAuth, secret), nil
}

// touches updates sessions at a rate until stopped.
type touches struct {
	rate, among int
	done        int           // read it after stop
	took        time.Duration // and how long that took
	stop        func() error
}

// touchTick is short: requests do not come in bursts.
const touchTick = time.Millisecond

// startTouches begins; stop ends it and says what went wrong.
func (l *lab) startTouches(ctx context.Context, rate, among int) (*touches, error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &touches{rate: rate, among: among}
	quit, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- t.run(ctx, conn, quit) }()
	t.stop = func() error {
		close(quit)
		err := <-ended
		_ = conn.Close(context.WithoutCancel(ctx)) // nothing was asked that it could lose
		return err
	}
	return t, nil
}

// run calls the database once a tick, for all that is due by then.
func (t *touches) run(ctx context.Context, conn *pgx.Conn, quit <-chan struct{}) error {
	tick := time.NewTicker(touchTick)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-quit:
			t.took = time.Since(began)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds()*float64(t.rate)) - t.done
		if due == 0 {
			continue
		}
		if _, err := conn.Exec(ctx, `call touch($1, $2)`, due, t.among); err != nil {
			return fmt.Errorf("touch sessions: %w", err)
		}
		t.done += due
	}
}
