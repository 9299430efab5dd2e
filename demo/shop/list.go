package shop

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Why a shopping list stays as it is.
var (
	errNoItem = errors.New("there is no such item (any more)")
	errItem   = errors.New("an item has 1 to 60 characters")
	errFull   = errors.New("the list is full")
)

// maxItems bounds a shopping list.
const maxItems = 100

// addItem puts an item on a user's list.
func (s *store) addItem(ctx context.Context, owner int64, item string) error {
	tag, err := s.pool.Exec(ctx, `insert into list_items (user_id, item)
		select $1, $2 where (select count(*) from list_items where user_id = $1) < $3`, owner, item, maxItems)
	if err == nil && tag.RowsAffected() == 0 {
		return errFull
	}
	return err
}

// toggleItem ticks an item, or takes the tick away.
func (s *store) toggleItem(ctx context.Context, owner, id int64) error {
	return s.changeItem(ctx, `update list_items set done = not done where user_id = $1 and id = $2`, owner, id)
}

func (s *store) removeItem(ctx context.Context, owner, id int64) error {
	return s.changeItem(ctx, `delete from list_items where user_id = $1 and id = $2`, owner, id)
}

func (s *store) changeItem(ctx context.Context, sql string, owner, id int64) error {
	tag, err := s.pool.Exec(ctx, sql, owner, id)
	if err == nil && tag.RowsAffected() == 0 {
		return errNoItem
	}
	return err
}

// fewItems is how long lists are kept by the business.
const fewItems = 6

// shelve does something to somebody's list: the shop packs an item, delivers a packed
// one, or somebody at home thinks of another.
func (b *business) shelve(ctx context.Context) error {
	var owner int64
	var open, done int
	err := b.store.pool.QueryRow(ctx, `select u.id, count(*) filter (where not i.done), count(*) filter (where i.done)
		from users u left join list_items i on i.user_id = u.id group by u.id order by random() limit 1`).Scan(&owner, &open, &done)
	if err != nil {
		return ignoreNoRows(err)
	}
	pick := `where (user_id, id) = (select user_id, id from list_items where user_id = $1 and done = $2 order by id limit 1)`
	switch {
	case open+done < fewItems && rand.IntN(2) == 0:
		return b.store.addItem(ctx, owner, goods[rand.IntN(len(goods))].name)
	case done > 2 || open == 0:
		_, err = b.store.pool.Exec(ctx, `delete from list_items `+pick, owner, true)
	default:
		_, err = b.store.pool.Exec(ctx, `update list_items set done = true `+pick, owner, false)
	}
	return err
}

// listPage is the page of the shopping list. Its rows come from the stream alone.
func listPage(w http.ResponseWriter, r *http.Request) {
	protect(w)
	http.ServeFileFS(w, r, static, "static/list.html")
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	id, u, err := h.store.login(r.Context(), r.FormValue("name"), r.FormValue("password"), h.cookies.session(r))
	if err == nil {
		h.cookies.set(w, id)
	}
	h.answer(w, u, err)
}

func (h *handler) logout(w http.ResponseWriter, r *http.Request) {
	everywhere, err := strconv.ParseBool(r.FormValue("everywhere"))
	if err != nil {
		everywhere = false
	}
	err = h.store.logout(r.Context(), h.cookies.session(r), everywhere)
	if err == nil {
		h.cookies.set(w, "")
	}
	h.answer(w, struct{}{}, err)
}

func (h *handler) me(w http.ResponseWriter, r *http.Request) {
	u, err := h.store.who(r.Context(), h.cookies.session(r))
	h.answer(w, u, err)
}

func (h *handler) add(w http.ResponseWriter, r *http.Request) {
	u, err := h.store.who(r.Context(), h.cookies.session(r))
	item := strings.TrimSpace(r.FormValue("item"))
	if n := utf8.RuneCountInString(item); err == nil && (n < 1 || n > 60 || !isText(item)) {
		err = errItem
	}
	if err == nil {
		err = h.store.addItem(r.Context(), u.ID, item)
	}
	h.answer(w, struct{}{}, err)
}

// changeList is the handler of a request that does something to one item of the user's.
func (h *handler) changeList(do func(*store, context.Context, int64, int64) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			h.refuse(w, http.StatusBadRequest, "an item's id is a number")
			return
		}
		u, err := h.store.who(r.Context(), h.cookies.session(r))
		if err == nil {
			err = do(h.store, r.Context(), u.ID, id)
		}
		h.answer(w, map[string]int64{"id": id}, err)
	}
}
