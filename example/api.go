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

const maxBody = 4 << 10 // bytes; a title of four-byte characters fits several times

// api answers the requests of the page. It only ever talks to the database: the
// plugin does the rest.
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

// change renames a card, moves it, or both; what is not given stays.
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
		return 0, nil, invalid("Nothing to change: give a title, a column or a position.")
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

// cardID is the id in the path. What is no number is no card either: no card
// has the id 0.
func cardID(r *http.Request) uint64 {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil {
		return 0
	}
	return id
}

// or returns what value points to, or else fallback.
func or[T any](value *T, fallback T) T {
	if value == nil {
		return fallback
	}
	return *value
}

// endpoint answers a request with a status and a body in JSON, or an error.
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
	_ = json.NewEncoder(w).Encode(body) // an error means that nobody reads it any more
}

// problem is an error that the other end gets to read.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func invalid(text string) error { return &problem{http.StatusBadRequest, text} }

// failure tells what went wrong, and of our own faults nothing but that.
func failure(r *http.Request, err error) (status int, body any) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, gorm.ErrRecordNotFound):
		p = &problem{http.StatusNotFound, "There is no such card."}
	default:
		if r.Context().Err() == nil { // somebody still waits for the answer
			slog.ErrorContext(r.Context(), "answering a request", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		p = &problem{http.StatusInternalServerError, "Something went wrong here."}
	}
	return p.status, map[string]string{"error": p.text}
}

// decode reads the body of a request: one small JSON object without surprises.
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
		err = errors.New("there is more than one value")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("More than %d bytes.", tooLarge.Limit)}
	}
	return invalid("This is not the JSON expected here: " + err.Error())
}
