package shop

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
)

//go:embed static
var static embed.FS

// maxRush bounds the orders that one request places.
const maxRush = 500

// handler is the shop's HTTP side.
type handler struct {
	store    *store
	business *business
	cookies  cookies
	log      *slog.Logger
}

// routes returns everything the shop serves. Requests that write are taken from
// the shop's own pages only.
func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", pages())
	mux.HandleFunc("GET /api/rows", h.rows)
	mux.HandleFunc("GET /api/check", h.check)
	mux.HandleFunc("POST /orders", h.place)
	mux.HandleFunc("POST /orders/{id}/advance", h.change((*store).advance))
	mux.HandleFunc("POST /orders/{id}/cancel", h.change((*store).cancel))
	mux.HandleFunc("DELETE /orders/{id}", h.change((*store).remove))
	mux.HandleFunc("POST /business", h.run)
	mux.HandleFunc("GET /list", listPage)
	mux.HandleFunc("GET /api/me", h.me)
	mux.HandleFunc("POST /login", h.login)
	mux.HandleFunc("POST /logout", h.logout)
	mux.HandleFunc("POST /list", h.add)
	mux.HandleFunc("POST /list/{id}/toggle", h.changeList((*store).toggleItem))
	mux.HandleFunc("DELETE /list/{id}", h.changeList((*store).removeItem))
	return http.NewCrossOriginProtection().Handler(mux)
}

// pages serves the page and its files.
func pages() http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil { // the name is a constant of this file
		return http.NotFoundHandler()
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		server.ServeHTTP(w, r)
	})
}

// protect sets the headers that every page has.
func protect(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func (h *handler) rows(w http.ResponseWriter, r *http.Request) {
	found, err := h.store.read(r.Context())
	h.answer(w, struct {
		rows
		Running bool `json:"running"`
	}{found, h.business.running.Load()}, err)
}

func (h *handler) check(w http.ResponseWriter, r *http.Request) {
	accounts, err := h.store.check(r.Context())
	h.answer(w, accounts, err)
}

func (h *handler) place(w http.ResponseWriter, r *http.Request) {
	count := 1
	if text := r.FormValue("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRush {
			h.refuse(w, http.StatusBadRequest, fmt.Sprintf("count must be a number from 1 to %d", maxRush))
			return
		}
		count = n
	}
	h.answer(w, map[string]int{"placed": count}, h.store.place(r.Context(), count))
}

// change is the handler of a request that does something to one order.
func (h *handler) change(do func(*store, context.Context, int64) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			h.refuse(w, http.StatusBadRequest, "an order's id is a number")
			return
		}
		h.answer(w, map[string]int64{"id": id}, do(h.store, r.Context(), id))
	}
}

func (h *handler) run(w http.ResponseWriter, r *http.Request) {
	run, err := strconv.ParseBool(r.FormValue("run"))
	if err != nil {
		h.refuse(w, http.StatusBadRequest, "run must be true or false")
		return
	}
	h.business.running.Store(run)
	h.answer(w, map[string]bool{"running": run}, nil)
}

// answer writes v, or what err means for the one who asked.
func (h *handler) answer(w http.ResponseWriter, v any, err error) {
	switch {
	case err == nil:
		h.write(w, http.StatusOK, v)
	case errors.Is(err, errWho), errors.Is(err, errLogin):
		h.refuse(w, http.StatusUnauthorized, err.Error())
	case errors.Is(err, errItem):
		h.refuse(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, errNoOrder), errors.Is(err, errNoItem):
		h.refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, errFinished), errors.Is(err, errOpen), errors.Is(err, errNoCourier), errors.Is(err, errFull):
		h.refuse(w, http.StatusConflict, err.Error())
	default:
		h.log.Warn("shop: request failed", "cause", err)
		h.refuse(w, http.StatusServiceUnavailable, "the database does not answer")
	}
}

func (h *handler) refuse(w http.ResponseWriter, status int, message string) {
	h.write(w, status, map[string]string{"error": message})
}

func (h *handler) write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		h.log.Error("shop: render answer", "cause", err)
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		h.log.Debug("shop: answer not written", "cause", err)
	}
}
