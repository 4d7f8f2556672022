package rohrposttest_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// t stands for the *testing.T of a test. It prints errors.
var t = &printing{}

type printing struct {
	testing.TB
	cleanups []func()
}

func (p *printing) Helper()                           {}
func (p *printing) Context() context.Context          { return context.Background() }
func (p *printing) Cleanup(f func())                  { p.cleanups = append(p.cleanups, f) }
func (p *printing) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (p *printing) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

type Comment struct {
	rohrpost.NotifyOnChange `rohrpost:"group:article-{article_id}"`
	ID                      uint
	ArticleID               uint
	Text                    string
	Email                   string
}

func (c Comment) PushNotificationData([]string, string) any {
	return map[string]any{"id": c.ID, "text": c.Text}
}

// application returns the database and the hub that the examples test.
func application(name string) (*gorm.DB, *rohrpost.Hub) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("article-{id}", rohrpost.Anyone)
	hub.Allow("inbox-{user}", func(_ context.Context, c *rohrpost.Conn, p rohrpost.Params) error {
		if c.Identity().ID != p["user"] {
			return rohrpost.Errorf("not yours")
		}
		return nil
	})
	db, err := gorm.Open(sqlite.Open("file:"+name+"?mode=memory&cache=shared"), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Comment{}))
	check(db.Use(rohrpost.Plugin(hub)))
	return db, hub
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A failed assertion lists the sent changes, the most similar first.
func ExampleRecord() {
	db, _ := application("record")
	rec := rohrposttest.Record(t, db)

	db.Create(&Comment{ArticleID: 7, Text: "Well said"}) // the code under test

	rec.AssertSent(t, "article-7", rohrpost.Create, rohrposttest.Has("text", "Well said"))
	rec.AssertNothing(t, "article-8")
	rec.AssertSent(t, "article-7", rohrpost.Create, rohrposttest.Has("text", "Well done"))
	// Output:
	// not sent: create to article-7
	//      object.text is "Well done"
	// sent changes, most similar first:
	//   1. create to article-7: {"id":1,"text":"Well said"}
	//        - object.text is "Well said"
}

// A test can run in a single transaction and roll it back.
func ExampleRecord_rollback() {
	db, _ := application("rollback")
	tx := db.Begin()
	defer tx.Rollback()
	rec := rohrposttest.Record(t, tx)

	tx.Create(&Comment{ArticleID: 7, Text: "Well said"})
	_ = tx.Transaction(func(tx *gorm.DB) error {
		tx.Create(&Comment{ArticleID: 8, Text: "Badly put"})
		return fmt.Errorf("not today")
	})

	rec.AssertSent(t, "article-7", rohrpost.Create)
	rec.AssertNothing(t, "article-8")
	fmt.Println(len(rec.Sent()), "would be sent,", len(rec.Published()), "was")
	// Output: 1 would be sent, 0 was
}

// Parallel tests that share a handle record the writes under their own contexts.
func ExampleContext() {
	shared, _ := application("context")
	db := shared.WithContext(rohrposttest.Context(t))
	rec := rohrposttest.Record(t, db)

	db.Create(&Comment{ArticleID: 7})
	shared.Create(&Comment{ArticleID: 8}) // another test

	for _, change := range rec.Sent() {
		fmt.Println(change.Type, change.Group)
	}
	// Output: create article-7
}

// A connection receives the messages that a client would receive.
func ExampleDial() {
	db, hub := application("dial")
	conn := rohrposttest.Dial(t, hub, rohrpost.Identity{ID: "ann"})
	conn.Subscribe("article-7")

	db.Create(&Comment{ArticleID: 7, Text: "Well said"})
	db.Model(&Comment{}).Where("article_id = ?", 7).Update("text", "Well put")

	conn.Expect("article-7", rohrpost.Create)
	conn.Expect("article-7", rohrpost.Update, rohrposttest.UpdatedFields("text"))
	conn.ExpectNothing()
	fmt.Println(conn.Call("subscribe", map[string]string{"group": "inbox-bob"}).Error)
	// Output: ACCESS_DENIED
}

// A table lists which users may subscribe to which groups.
func ExampleAllowed() {
	_, hub := application("allowed")
	ann := rohrpost.Identity{ID: "ann"}
	rohrposttest.Allowed(t, hub, []rohrposttest.Access{
		{User: ann, Group: "article-7", Want: true},
		{User: ann, Group: "inbox-ann", Want: true},
		{User: ann, Group: "inbox-bob", Want: true},
		{Group: "inbox-ann", Want: false},
	})
	// Output: row 2: ann cannot subscribe to inbox-bob but must be able to
}

// A comparison with a file under version control shows each field that is added to a
// payload.
func ExamplePayloadFields() {
	emits := rohrposttest.PayloadFields(t, Comment{})
	golden, err := os.ReadFile("testdata/comment.golden")
	check(err)
	fmt.Println(emits == string(golden))
	fmt.Print(emits)
	// Output:
	// true
	// id: create, update, delete
	// text: create, update, delete
	// updated_fields: update
}
