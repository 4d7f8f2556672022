package writetest

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost"
)

// The models of the oracle. Their tables are made by hand.
type (
	// Loose may be in no group.
	Loose struct {
		rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id}"`
		ID                      uint
		ProjectID               *uint
		Title                   string
	}

	// Nick has a key whose spelling does not matter to the database.
	Nick struct {
		rohrpost.NotifyOnChange `rohrpost:"group:nicks"`
		ID                      string `gorm:"primaryKey"`
		Title                   string
	}

	// Handle is Nick of which only the key is sent.
	Handle struct {
		rohrpost.NotifyOnChange `rohrpost:"group:handles"`
		ID                      string `gorm:"primaryKey"`
		Title                   string
	}

	// Contact has a unique index that the model does not declare.
	Contact struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		Email                   string
		BoardID                 int
		Title                   string
	}

	// Strict has a column that may hold what the model refuses.
	Strict struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		BoardID                 int
		State                   State
	}

	// Login has a column that is never read.
	Login struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		BoardID                 int
		Secret                  string `gorm:"->:false;<-"`
		Name                    string
	}

	// Price is grouped by a padded column and shows what the database rounds.
	Price struct {
		rohrpost.NotifyOnChange `rohrpost:"group:shop-{shop}"`
		ID                      uint
		Shop                    string `gorm:"type:char(6)"`
		Amount                  Decimal
		Due                     time.Time `gorm:"type:date"`
		At                      time.Time
		Seen                    sql.NullTime
	}

	// Batch is grouped by an amount.
	Batch struct {
		rohrpost.NotifyOnChange `rohrpost:"group:batch-{amount}"`
		ID                      uint
		Amount                  Decimal
		Title                   string
	}

	// Made gets its key from the database.
	Made struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      string `gorm:"primaryKey;default:made()"`
		BoardID                 int
		Title                   string
	}

	// Legacy has columns that GORM finds by the names of the fields.
	Legacy struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
		ID                      uint
		Board                   int
		Title                   string
	}

	// Rented belongs to a tenant, to which its field type narrows every statement.
	Rented struct {
		rohrpost.NotifyOnChange `rohrpost:"group:tenant-{tenant}"`
		ID                      uint
		Tenant                  Tenant
		Title                   string
	}

	// Slot has a time as its key.
	Slot struct {
		rohrpost.NotifyOnChange `rohrpost:"group:slots"`
		ID                      time.Time `gorm:"primaryKey"`
		Title                   string
	}
)

type object map[string]any

func (l *Loose) object() object { return object{"id": l.ID, "project": l.ProjectID, "title": l.Title} }

func (l *Loose) shown() (string, any) {
	if l.ProjectID == nil {
		return "", nil
	}
	return fmt.Sprint("project-", *l.ProjectID), l.object()
}

func (l *Loose) PushNotificationData([]string, string) any { return l.object() }

func (n *Nick) shown() (string, any) { return "nicks", object{"id": n.ID, "title": n.Title} }

func (n *Nick) PushNotificationData([]string, string) any {
	return object{"id": n.ID, "title": n.Title}
}

func (h *Handle) shown() (string, any) { return "handles", object{"id": h.ID} }

func (c *Contact) object() object { return object{"id": c.ID, "email": c.Email, "title": c.Title} }

func (c *Contact) shown() (string, any) { return fmt.Sprint("board-", c.BoardID), c.object() }

func (c *Contact) PushNotificationData([]string, string) any { return c.object() }

func (s *Strict) shown() (string, any) {
	return fmt.Sprint("board-", s.BoardID), object{"id": s.ID, "state": s.State}
}

func (s *Strict) PushNotificationData([]string, string) any {
	return object{"id": s.ID, "state": s.State}
}

func (l *Login) object() object { return object{"id": l.ID, "secret": l.Secret, "name": l.Name} }

func (l *Login) shown() (string, any) { return fmt.Sprint("board-", l.BoardID), l.object() }

func (l *Login) PushNotificationData([]string, string) any { return l.object() }

func (p *Price) object() object {
	return object{"id": p.ID, "amount": p.Amount, "due": p.Due, "at": p.At, "seen": p.Seen.Time}
}

// A group name has no blanks.
func (p *Price) GroupName(string) string { return "shop-" + strings.ReplaceAll(p.Shop, " ", "_") }

func (p *Price) shown() (string, any) { return p.GroupName(""), p.object() }

func (p *Price) PushNotificationData([]string, string) any { return p.object() }

func (b *Batch) shown() (string, any) {
	return "batch-" + string(b.Amount), object{"id": b.ID, "title": b.Title}
}

func (b *Batch) PushNotificationData([]string, string) any {
	return object{"id": b.ID, "title": b.Title}
}

func (m *Made) shown() (string, any) {
	return fmt.Sprint("board-", m.BoardID), object{"id": m.ID, "title": m.Title}
}

func (m *Made) PushNotificationData([]string, string) any {
	return object{"id": m.ID, "title": m.Title}
}

func (l *Legacy) object() object { return object{"id": l.ID, "title": l.Title} }

func (l *Legacy) shown() (string, any) { return fmt.Sprint("board-", l.Board), l.object() }

func (l *Legacy) PushNotificationData([]string, string) any { return l.object() }

func (r *Rented) shown() (string, any) {
	return "tenant-" + string(r.Tenant), object{"id": r.ID, "title": r.Title}
}

func (r *Rented) PushNotificationData([]string, string) any {
	return object{"id": r.ID, "title": r.Title}
}

func (s *Slot) shown() (string, any) { return "slots", object{"id": s.ID, "title": s.Title} }

func (s *Slot) PushNotificationData([]string, string) any {
	return object{"id": s.ID, "title": s.Title}
}
