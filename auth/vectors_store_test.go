package auth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// worked are the entries that docs and presets give for the frameworks of the vectors with a
// store. Secrets are named as in the vector.
var worked = map[string]SessionEntry{
	"express-session-passport": {Decode: "express", Secrets: []string{"secret"}, User: "passport.user",
		Store:   &Store{Table: "session", Key: "sid", Expires: &Expires{Column: "expire"}, Data: &Data{Column: "sess", Format: "json"}},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, roles from app_users where id = :user::int"},
		Depends: []Depend{{Table: "app_users", Key: "id"}}},
	"django-db": {Decode: "plain", Secrets: []string{"SECRET_KEY"}, User: "_auth_user_id", Check: "django-auth-hash",
		Store: &Store{Table: "django_session", Key: "session_key", Expires: &Expires{Column: "expire_date"}, Data: &Data{Column: "session_data", Format: "django"}},
		Claims: ClaimSource{SQL: `select u.id as user_id, u.is_staff, u.password as _check,
			array(select g.name from auth_user_groups x join auth_group g on g.id=x.group_id where x.user_id=u.id) as roles
			from auth_user u where u.id = :user::int and u.is_active`},
		Depends: []Depend{{Table: "auth_user", Key: "id"}, {Table: "auth_user_groups", Key: "user_id"}}},
	"rails8-signed-session-id": {Decode: "rails-signed", Secrets: []string{"secret_key_base"}, User: "user_id",
		Store:   &Store{Table: "app_sessions", Key: "id"},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, array[role] as roles from users where id = :user::bigint"},
		Depends: []Depend{{Table: "users", Key: "id"}}},
	"laravel-database": {Decode: "laravel", Secrets: []string{"APP_KEY"}, User: "user_id",
		Store:   &Store{Table: "sessions", Key: "id", Expires: &Expires{Column: "last_activity", Unit: "unix", Plus: 120 * time.Minute}},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, array[role] as roles from users where id = :user::bigint"},
		Depends: []Depend{{Table: "users", Key: "id"}}},
	"better-auth": {Decode: "better-auth", Secrets: []string{"secret"}, User: "userId",
		Store: &Store{Table: "session", Key: "token", Expires: &Expires{Column: "expiresAt"}, Watch: []string{"userId", "activeOrganizationId"}},
		Claims: ClaimSource{SQL: `select u.id as user_id, m."organizationId" as org_id, array_agg(m.role) as roles
			from "user" u left join member m on m."userId"=u.id and m."organizationId"=:session->>'activeOrganizationId'
			where u.id = :user group by 1,2`},
		Depends: []Depend{{Table: "member", Key: "userId"}}},
	"phoenix-gen-auth": {Decode: "phoenix", Secrets: []string{"secret_key_base"}, Salt: "k3ySalt1", From: "user_token", User: "user_id",
		Store: &Store{Table: "users_tokens", Key: "token", Where: []Equal{{Column: "context", Value: "session"}},
			Expires: &Expires{Column: "inserted_at", Plus: 14 * 24 * time.Hour}},
		Claims: ClaimSource{SQL: "select id as user_id, org_id, array[role] as roles from users where id = :user::bigint"}},
	"authjs-database": {Decode: "plain", User: "userId",
		Store: &Store{Table: "sessions", Key: "sessionToken", Expires: &Expires{Column: "expires"}},
		Claims: ClaimSource{SQL: `select u.id as user_id, m.org_id, array_agg(m.role) as roles from users u join org_members m on m.user_id = u.id
			where u.id = :user::int group by 1, 2`},
		Depends: []Depend{{Table: "users", Key: "id"}, {Table: "org_members", Key: "user_id"}}},
	"lucia-sha256": {Decode: "plain", User: "user_id",
		Store:   &Store{Table: "user_session", Key: "id", Hash: "sha256-hex", Expires: &Expires{Column: "expires_at"}},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, roles from app_users where id = :user::int;"},
		Depends: []Depend{{Table: "app_users", Key: "id"}}},
	"scs-postgresstore": {Decode: "plain", User: "userID",
		Store:   &Store{Table: "sessions", Key: "token", Expires: &Expires{Column: "expiry"}, Data: &Data{Column: "data", Format: "scs"}},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, roles from app_users where id = :user::int -- with roles"},
		Depends: []Depend{{Table: "app_users", Key: "id"}}},
	"rails-activerecord-session-store": {Decode: "plain", User: "warden.user.user.key.0.0", Check: "devise-salt",
		Store:   &Store{Table: "sessions", Key: "session_id", Hash: "rack", Data: &Data{Column: "data", Format: "json"}},
		Claims:  ClaimSource{SQL: "select id as user_id, org_id, array[role] as roles, encrypted_password as _check from users where id = :user::bigint"},
		Depends: []Depend{{Table: "users", Key: "id"}}},
}

// storeVector is what a vector with a store has besides.
type storeVector struct {
	vector
	DDL        string `json:"ddl"`
	DataDecode struct {
		JSON string `json:"json_serializer_variant"`
	} `json:"data_decode"`
	Expected struct {
		Claims map[string]any `json:"claims"`
	} `json:"expected"`
	WAL []struct {
		Step    string   `json:"step"`
		Changes []string `json:"changes"`
	} `json:"wal"`
}

func loadStoreVector(t testing.TB, name string) storeVector {
	t.Helper()
	var v storeVector
	loadJSON(t, name, &v)
	loadJSON(t, name, &v.vector)
	return v
}

// workedEntry is a copy of the vector's entry, and the environment with its secrets.
func (v storeVector) workedEntry(t testing.TB) (*SessionEntry, map[string]string) {
	t.Helper()
	e, ok := worked[v.Name]
	if !ok {
		t.Fatalf("no entry for %s", v.Name)
	}
	e.Cookies = []string{v.CookieName}
	store := *e.Store
	store.Schema = "public"
	e.Store = &store
	e.Depends = append([]Depend(nil), e.Depends...)
	for i := range e.Depends {
		e.Depends[i].Schema = "public"
	}
	env := map[string]string{}
	names := e.Secrets
	e.Secrets = nil
	for _, name := range names {
		for i, secret := range v.ring(t, name) {
			key := name + "_" + strconv.Itoa(i)
			env[key] = string(secret.bytes())
			e.Secrets = append(e.Secrets, "env:"+key)
		}
	}
	return &e, env
}

// database has the vector's tables and rows.
func (v storeVector) database(t testing.TB) *testDatabase {
	t.Helper()
	d := newDatabase(t, "create extension citext", v.DDL)
	if v.DataDecode.JSON != "" {
		v.Rows["sessions"][0]["data"] = v.DataDecode.JSON
	}
	d.fill(t, v.Rows)
	return d
}

// question is that of the vector's cookie, or of another header.
func (v storeVector) question(t testing.TB, s *source, header string) (question, error) {
	t.Helper()
	j, err := parseCookies([]string{header})
	if err != nil {
		t.Fatal(err)
	}
	candidates, err := j.candidates(v.CookieName, kinds[s.entry.Decode])
	if err != nil || len(candidates) != 1 {
		t.Fatalf("%d candidates, %v", len(candidates), err)
	}
	q, _, err := s.ask(t.Context(), candidates[0], v.MadeAt)
	return q, err
}

// TestEveryStoreHasAnEntry: a vector with a store and a dump is looked up.
func TestEveryStoreHasAnEntry(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var v storeVector
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal(data, &v)
		if _, ok := worked[v.Name]; ok != (v.DDL != "" && v.Expected.Claims != nil) {
			t.Errorf("%s: entry %v", v.Name, ok)
		}
	}
}

func TestVectorClaims(t *testing.T) {
	t.Parallel()
	for name := range worked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, env := v.workedEntry(t)
			s := d.source(t, e, env)
			q, err := v.question(t, s, v.CookieHeader)
			if err != nil {
				t.Fatal(err)
			}
			f, err := d.postgres(t).lookup(t.Context(), s, q)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseObject(f.claims)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.Expected.Claims, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

// clock stands still at the moment at which the vector was made.
func (v storeVector) clock() time.Time { return v.MadeAt }
