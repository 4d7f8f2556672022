package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"

	"gorm.io/gorm"
)

const maxBody = 4 << 10 // bytes; several times the longest title

// api handles the requests of the page. It only uses the database: the plugin
// publishes the changes.
type api struct {
	db *gorm.DB
}

func newAPI(db *gorm.DB) *api { return &api{db: db} }

func (a *api) register(mux *http.ServeMux) {
	mux.Handle("GET /api/cards", endpoint(a.list))
	mux.Handle("POST /api/cards", endpoint(a.create))
	mux.Handle("PATCH /api/cards/{id}", endpoint(a.change))
	mux.Handle("DELETE /api/cards/{id}", endpoint(a.remove))
}

func (a *api) list(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	cards, err := cardViews(a.db.WithContext(r.Context()))
	return http.StatusOK, cards, err
}

func (a *api) create(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var input struct{ Title, Column string }
	if err := decode(w, r, &input); err != nil {
		return 0, nil, err
	}
	card := Card{Title: input.Title, Column: input.Column}
	if err := addCard(a.db.WithContext(r.Context()), &card); err != nil {
		return 0, nil, fmt.Errorf("create a card: %w", err)
	}
	return http.StatusCreated, card.view(), nil
}

// change renames a card, moves it, or both. Missing fields keep their values.
func (a *api) change(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var input struct {
		Title    *string
		Column   *string
		Position *int
	}
	if err := decode(w, r, &input); err != nil {
		return 0, nil, err
	}
	if input.Title == nil && input.Column == nil && input.Position == nil {
		return 0, nil, invalid("Nothing to change: send a title, a column or a position.")
	}
	var card Card
	err := a.db.WithContext(r.Context()).Transaction(func(tx *gorm.DB) error {
		if err := tx.First(&card, "id = ?", cardID(r)).Error; err != nil {
			return err
		}
		if input.Title != nil {
			card.Title = *input.Title
			if err := tx.Select("title").Updates(&card).Error; err != nil {
				return err
			}
		}
		if input.Column == nil && input.Position == nil {
			return nil
		}
		return moveCard(tx, &card, or(input.Column, card.Column), or(input.Position, 0))
	})
	if err != nil {
		return 0, nil, fmt.Errorf("change a card: %w", err)
	}
	return http.StatusOK, card.view(), nil
}

func (a *api) remove(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	result := a.db.WithContext(r.Context()).Where("id = ?", cardID(r)).Delete(&Card{})
	if result.Error != nil {
		return 0, nil, fmt.Errorf("delete a card: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return 0, nil, gorm.ErrRecordNotFound
	}
	return http.StatusNoContent, nil, nil
}

// cardID returns the id in the path. It returns 0, which no card has, for an
// invalid id.
func cardID(r *http.Request) uint64 {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil {
		return 0
	}
	return id
}

// or returns the value, or fallback if value is nil.
func or[T any](value *T, fallback T) T {
	if value == nil {
		return fallback
	}
	return *value
}

// endpoint handles a request and returns a status and a JSON body, or an error.
type endpoint func(http.ResponseWriter, *http.Request) (status int, body any, err error)

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, err := e(w, r)
	if err != nil {
		status, body = failure(r, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone
}

// problem is an error whose text the client may read.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func invalid(text string) error { return &problem{http.StatusBadRequest, text} }

// failure returns the response to an error. It hides the text of internal errors.
func failure(r *http.Request, err error) (status int, body any) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, gorm.ErrRecordNotFound):
		p = &problem{http.StatusNotFound, "This card does not exist."}
	default:
		if r.Context().Err() == nil { // the client still waits for the response
			slog.ErrorContext(r.Context(), "handle a request", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		p = &problem{http.StatusInternalServerError, "Internal error."}
	}
	return p.status, map[string]string{"error": p.text}
}

// decode reads the body of a request: one small JSON object without unknown fields.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &problem{http.StatusUnsupportedMediaType, "Send application/json."}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more than one value")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("The request is larger than %d bytes.", tooLarge.Limit)}
	}
	return invalid("Invalid JSON: " + err.Error())
}
