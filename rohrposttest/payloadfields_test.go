package rohrposttest_test

import (
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"gorm.io/gorm"
)

type author struct {
	ID       uint
	Name     string `json:"name"`
	Password string `json:"-"`
	Best     *author
	BestID   uint
}

type book struct {
	rohrpost.NotifyOnChange
	gorm.Model
	Title    string
	Draft    bool
	Subtitle sql.NullString
	Meta     map[string]string `gorm:"serializer:json"`
	Author   *author
	AuthorID uint
}

type bookView struct {
	ID      uint              `json:"id"`
	Title   string            `json:"title,omitempty"`
	Sub     *string           `json:"sub,omitempty"`
	Meta    map[string]string `json:"meta"`
	At      time.Time
	Gone    gorm.DeletedAt
	Chapter []struct{ Pages int }
	Raw     []byte
	hidden  int
	authored
}

type authored struct {
	Author authorView `json:"author"`
}

type authorView struct {
	Name string       `json:"name"`
	Also []authorView `json:"also,omitempty"`
}

func (b book) PushNotificationData(fields []string, messageType string) any {
	if messageType == rohrpost.Delete {
		return map[string]any{"id": b.ID, "name": b.Author.Name, "raw": json.RawMessage(`{"a":[{"b":1}]}`)}
	}
	view := bookView{ID: b.ID, Meta: b.Meta, hidden: 1}
	if messageType == rohrpost.Update && len(fields) > 0 && b.Draft {
		return map[string]any{"draft": b.Draft}
	}
	return &view
}

type listed struct {
	rohrpost.NotifyOnCreate
	rohrpost.NotifyOnUpdate
	ID uint
}

func (listed) PushNotificationData([]string, string) any { return []uint{1} }

type fragile struct {
	rohrpost.NotifyOnUpdate
	ID   uint
	Name *string
}

func (f *fragile) PushNotificationData([]string, string) any {
	return map[string]string{"name": *f.Name}
}

func TestPayloadFields(t *testing.T) {
	for _, test := range []struct {
		model any
		want  string
	}{
		{article{}, "id: create, update, delete\nupdated_fields: update\n"},
		{&listed{}, "[]: create, update\n"},
		{fragile{}, "name: update\nupdated_fields: update\n"},
		{&book{}, `At: create, update
Chapter[].Pages: create, update
Gone: create, update
Raw: create, update
author.also[]: create, update
author.name: create, update
draft: update
id: create, update, delete
meta: create, update
meta.*: create, update
name: delete
raw.a[].b: delete
sub: create, update
title: create, update
updated_fields: update
`},
	} {
		assert.Equal(t, test.want, rohrposttest.PayloadFields(t, test.model))
	}
	assert.Contains(t, failing(t, func(t testing.TB) { rohrposttest.PayloadFields(t, author{}) }), "the model has no marker")
	assert.Contains(t, failing(t, func(t testing.TB) { rohrposttest.PayloadFields(t, 7) }), "unsupported data type")
}
