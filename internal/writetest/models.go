package writetest

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rohrpost/rohrpost"
	"gorm.io/gorm"
)

// models are all that the suites write to.
var models = []any{
	&Task{}, &Ticket{}, &Note{}, &Cell{}, &Blob{}, &Device{}, &Odd{}, &Event{}, &Member{}, &Account{}, &Filtered{}, &Item{},
	&Publisher{}, &Tag{}, &Author{}, &Book{}, &Profile{}, &Person{}, &Skill{}, &PersonSkill{}, &Memo{}, &Slip{},
}

type (
	// Task uses every fallback: no tag, no methods.
	Task struct {
		rohrpost.NotifyOnChange
		ID        uint
		Title     string `gorm:"size:191"`
		Done      bool
		UpdatedAt time.Time
	}

	// Ticket is grouped and rendered by methods.
	Ticket struct {
		rohrpost.NotifyOnChange
		ID        uint
		BoardID   uint
		Title     string `gorm:"size:191"`
		UpdatedAt time.Time
	}

	// Item is Ticket with a tag and soft deletes.
	Item struct {
		rohrpost.NotifyOnChange `rohrpost:"group:list-{board_id}"`
		ID                      uint
		BoardID                 uint
		Title                   string `gorm:"size:191"`
		DeletedAt               gorm.DeletedAt
	}

	// Note is grouped by a column and deleted softly.
	Note struct {
		rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id}"`
		ID                      uint
		ProjectID               uint
		Text                    string `gorm:"size:191"`
		DeletedAt               gorm.DeletedAt
	}

	// Cell has a composite key.
	Cell struct {
		rohrpost.NotifyOnChange
		Sheet string `gorm:"primaryKey;size:50"`
		Place int    `gorm:"primaryKey;autoIncrement:false"`
		Text  string `gorm:"size:191"`
	}

	// Blob has bytes as its key.
	Blob struct {
		rohrpost.NotifyOnChange
		ID   []byte `gorm:"primaryKey;size:50"`
		Text string `gorm:"size:191"`
	}

	// Device has a UUID as its key.
	Device struct {
		rohrpost.NotifyOnChange
		ID   UUID   `gorm:"primaryKey;type:char(32)"`
		Text string `gorm:"size:191"`
	}

	// Odd has names of its own for the table and its columns.
	Odd struct {
		rohrpost.NotifyOnChange `rohrpost:"group:odd-{the kind}"`
		Code                    string `gorm:"primaryKey;column:the key;size:50"`
		Kind                    string `gorm:"column:the kind;size:50" json:"kind"`
		Text                    string `gorm:"column:order;size:191" json:"text"`
	}

	// Event has no key.
	Event struct {
		rohrpost.NotifyOnChange `rohrpost:"group:events-{kind}"`
		Kind                    string `gorm:"size:50"`
		Text                    string `gorm:"size:191"`
	}

	// Member is in several groups.
	Member struct {
		rohrpost.NotifyOnChange `rohrpost:"depends:team,boss"`
		ID                      uint
		Team                    string `gorm:"size:50"`
		Boss                    string `gorm:"size:50"`
		Text                    string `gorm:"size:191"`
	}

	// Account is found by a name besides its key.
	Account struct {
		rohrpost.NotifyOnChange
		ID    uint
		Email string `gorm:"uniqueIndex;size:50"`
		Text  string `gorm:"size:191"`
	}

	// Filtered is announced for some columns, and when the object shows them.
	Filtered struct {
		rohrpost.NotifyOnUpdate `rohrpost:"group:filtered;fields:status,title;always_send:false"`
		ID                      uint
		Status                  string `gorm:"size:50"`
		Title                   string `gorm:"size:50"`
		Text                    string `gorm:"size:191"`
	}

	// Publisher, Author, Profile, Book and Tag are associated in every way.
	Publisher struct {
		rohrpost.NotifyOnChange
		ID   uint
		Name string `gorm:"size:50"`
	}
	Author struct {
		rohrpost.NotifyOnChange
		ID          uint
		Name        string `gorm:"size:50"`
		PublisherID *uint
		Publisher   *Publisher
		Books       []Book
		Profile     *Profile
		Tags        []Tag `gorm:"many2many:author_tags"`
	}
	Book struct {
		rohrpost.NotifyOnChange `rohrpost:"group:books"`
		ID                      uint
		Title                   string `gorm:"size:50"`
		AuthorID                *uint
	}
	Profile struct {
		rohrpost.NotifyOnChange
		ID       uint
		Text     string `gorm:"size:50"`
		AuthorID *uint
	}
	Tag struct {
		rohrpost.NotifyOnChange
		ID   uint
		Name string `gorm:"size:50"`
	}

	// Person has Skills by a join table that is a model too.
	Person struct {
		ID     uint
		Name   string
		Skills []Skill `gorm:"many2many:person_skills"`
	}
	Skill struct {
		rohrpost.NotifyOnChange `rohrpost:"group:skills-{name}"`
		ID                      uint
		Name                    string
	}
	PersonSkill struct {
		rohrpost.NotifyOnChange `rohrpost:"group:person-{person_id}"`
		PersonID                uint `gorm:"primaryKey"`
		SkillID                 uint `gorm:"primaryKey"`
	}
)

func (t Ticket) GroupName(string) string { return fmt.Sprintf("board-%d", t.BoardID) }

func (t Ticket) PushNotificationData([]string, string) any {
	return map[string]any{"id": t.ID, "board": t.BoardID, "title": t.Title}
}

func (i Item) PushNotificationData([]string, string) any {
	return map[string]any{"id": i.ID, "board": i.BoardID, "title": i.Title}
}

func (e Event) PushNotificationData([]string, string) any { return map[string]any{"text": e.Text} }

func (m Member) GroupNames(string) []string {
	groups := []string{"team-" + m.Team}
	if m.Boss != "" {
		groups = append(groups, "boss-"+m.Boss)
	}
	return groups
}

func (f Filtered) PushNotificationData([]string, string) any {
	return map[string]any{"id": f.ID, "status": f.Status}
}

// TableName implements schema.Tabler.
func (Odd) TableName() string { return "odd things" }

// BeforeUpdate sets a column besides what the caller does.
func (a *Account) BeforeUpdate(tx *gorm.DB) error {
	if tx.Statement.Changed("Email") {
		tx.Statement.SetColumn("text", "changed")
	}
	return nil
}

// UUID is a key that databases hold as text.
type UUID [16]byte

func (u UUID) String() string { return hex.EncodeToString(u[:]) }

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Value implements driver.Valuer.
func (u UUID) Value() (driver.Value, error) { return u.String(), nil }

// Scan implements sql.Scanner.
func (u *UUID) Scan(value any) error {
	var text string
	switch value := value.(type) {
	case string:
		text = value
	case []byte:
		text = string(value)
	default:
		return errors.New("no UUID")
	}
	_, err := hex.Decode(u[:], []byte(text))
	return err
}
