package writetest

import (
	"reflect"
	"time"

	"github.com/rohrpost/rohrpost"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// creates creates copies of the rows: GORM writes to them, and engines run side by side.
func creates(rows ...any) func(*gorm.DB) error {
	return func(db *gorm.DB) error {
		for _, row := range rows {
			created := reflect.New(reflect.TypeOf(row).Elem())
			created.Elem().Set(reflect.ValueOf(row).Elem())
			if err := db.Create(created.Interface()).Error; err != nil {
				return err
			}
		}
		return nil
	}
}

func inOrder(steps ...func(*gorm.DB) *gorm.DB) func(*gorm.DB) error {
	return func(db *gorm.DB) error {
		for _, step := range steps {
			if err := step(db).Error; err != nil {
				return err
			}
		}
		return nil
	}
}

var (
	loose   = tablesOf("CREATE TABLE looses (id SERIAL, project_id BIGINT, title VARCHAR(50))")
	nick    = tablesOf("CREATE TABLE nicks (id NOCASE PRIMARY KEY, title VARCHAR(50))", "CREATE TABLE handles (id NOCASE PRIMARY KEY, title VARCHAR(50))")
	contact = tablesOf("CREATE TABLE contacts (id SERIAL, email VARCHAR(50) UNIQUE, board_id INT, title VARCHAR(50))")
	login   = tablesOf("CREATE TABLE logins (id SERIAL, board_id INT, secret VARCHAR(50), name VARCHAR(50))")
	rented  = tablesOf("CREATE TABLE renteds (id SERIAL, tenant VARCHAR(50), title VARCHAR(50))")
	price   = tablesOf("CREATE TABLE prices (id SERIAL, shop CHAR(6), amount NUMERIC(10,2), due DATE, at TIME, seen TIME)")
	made    = tablesOf("CREATE TABLE mades (id MADE, board_id INT, title VARCHAR(50))")
)

func viewed(db *gorm.DB) error { return db.Create(&Loose{ProjectID: ptr(uint(1)), Title: "a"}).Error }

// view makes a view that triggers write through.
func view(e Engine) []string {
	statements := tablesOf("CREATE TABLE behind (id SERIAL, project_id BIGINT, title VARCHAR(50))", "CREATE VIEW looses AS SELECT * FROM behind")(e)
	if e.SQL == "sqlite" {
		return append(statements,
			"CREATE TRIGGER c INSTEAD OF INSERT ON looses BEGIN INSERT INTO behind (project_id, title) VALUES (NEW.project_id, NEW.title); END",
			"CREATE TRIGGER u INSTEAD OF UPDATE ON looses BEGIN UPDATE behind SET title = NEW.title WHERE id = OLD.id; END",
			"CREATE TRIGGER d INSTEAD OF DELETE ON looses BEGIN DELETE FROM behind WHERE id = OLD.id; END")
	}
	return append(statements,
		`CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN
	IF TG_OP = 'INSERT' THEN INSERT INTO behind (project_id, title) VALUES (NEW.project_id, NEW.title); RETURN NEW;
	ELSIF TG_OP = 'UPDATE' THEN UPDATE behind SET title = NEW.title WHERE id = OLD.id; RETURN NEW;
	ELSE DELETE FROM behind WHERE id = OLD.id; RETURN OLD; END IF; END $$ LANGUAGE plpgsql`,
		"CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON looses FOR EACH ROW EXECUTE FUNCTION f()")
}

// tableCases lists the classes of differences.
var tableCases = []tableCase{
	{
		name: "a null group", tables: loose, run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Loose{ID: 1, Title: "a"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Loose{ID: 1}).Update("project_id", 7) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Loose{ID: 1}).Update("project_id", nil) },
			func(db *gorm.DB) *gorm.DB { return db.Save(&Loose{ID: 1, ProjectID: ptr(uint(8)), Title: "b"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Loose{ID: 1}).Update("project_id", gorm.Expr("NULL")) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Loose{}).Create(map[string]any{"id": 2, "title": "c"}) },
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Loose{ID: 2, ProjectID: ptr(uint(9)), Title: "d"})
			},
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Loose{ID: 2, Title: "d"})
			},
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Loose{ID: 2}) },
		),
		want: []string{
			`create project-7 {"id":1,"project":7,"title":"a"}`, `delete project-7 {"id":1,"project":7,"title":"a"}`,
			`create project-8 {"id":1,"project":8,"title":"b"}`, `delete project-8 {"id":1,"project":8,"title":"b"}`,
			`create project-9 {"id":2,"project":9,"title":"d"}`, `delete project-9 {"id":2,"project":9,"title":"d"}`,
		},
	},
	{
		name: "a field type that narrows statements", tables: rented, run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Rented{ID: 1, Tenant: "a", Title: "k"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Rented{ID: 1}).Update("title", "l") },
			func(db *gorm.DB) *gorm.DB { return db.Unscoped().Model(&Rented{ID: 1}).Update("tenant", "b") },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Rented{ID: 1}).Update("title", "not of this tenant") },
			func(db *gorm.DB) *gorm.DB { return db.Unscoped().Save(&Rented{ID: 1, Tenant: "a", Title: "m"}) },
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Rented{ID: 1}) },
		),
		want: []string{
			`create tenant-a {"id":1,"title":"k"}`, `update tenant-a {"id":1,"title":"l"} title`,
			`delete tenant-a {"id":1,"title":"l"}`, `create tenant-b {"id":1,"title":"l"}`,
			`delete tenant-b {"id":1,"title":"l"}`, `create tenant-a {"id":1,"title":"m"}`, `delete tenant-a {"id":1,"title":"m"}`,
		},
	},
	{
		name: "a key spelled otherwise", tables: nick, fill: creates(&Nick{ID: "abc"}, &Handle{ID: "abc"}), run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Model(&Nick{ID: "ABC"}).Update("title", "k") },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Handle{ID: "ABC"}).Update("title", "k") },
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
					Create(&Nick{ID: "Abc", Title: "l"})
			},
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
					Create(&[]Handle{{ID: "Abc", Title: "l"}, {ID: "DEF"}})
			},
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Nick{ID: "ABC"}) },
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Handle{ID: "ABC"}) },
		),
		want: []string{
			`update nicks {"id":"abc","title":"k"} title`, `update handles {"id":"abc"} title`,
			`update nicks {"id":"abc","title":"l"} title`, `create handles {"id":"DEF"}`, `update handles {"id":"abc"} title`,
			`delete nicks {"id":"abc","title":"l"}`, `delete handles {"id":"abc"}`,
		},
	},
	{
		name: "an undeclared unique index", tables: contact,
		fill: creates(&Contact{ID: 1, Email: "a", BoardID: 1}, &Contact{ID: 2, Email: "b", BoardID: 2}), run: inOrder(
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Contact{Email: "a", BoardID: 9})
			},
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{
					Columns: []clause.Column{{Name: "email"}}, DoUpdates: clause.AssignmentColumns([]string{"board_id"}),
				}).Create(&Contact{Email: "a", BoardID: 3})
			},
		),
		want: []string{`delete board-1 {"email":"a","id":1,"title":""}`, `create board-3 {"email":"a","id":1,"title":""}`},
	},
	{
		name: "an undeclared unique index, UpdateAll", only: "mysql", tables: contact, fill: creates(&Contact{ID: 1, Email: "a", BoardID: 1}),
		run: inOrder(func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Contact{ID: 7, Email: "a", BoardID: 3})
		}),
		want: []string{`delete board-1 {"email":"a","id":1,"title":""}`, `create board-3 {"email":"a","id":1,"title":""}`},
	},
	{
		name: "an index of an expression", only: "sqlite postgres",
		tables: tablesOf("CREATE TABLE contacts (id SERIAL, email VARCHAR(50), board_id INT, title VARCHAR(50))", "CREATE UNIQUE INDEX lowered ON contacts (LOWER(email))"),
		fill:   creates(&Contact{ID: 1, Email: "a", BoardID: 1}), run: inOrder(func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Contact{{Email: "A", BoardID: 9}, {Email: "b", BoardID: 9}})
		}),
		want: []string{`resync board-{board_id} {"reason":"unknown"}`},
	},
	{
		name: "names that GORM finds by its fields", only: "sqlite mysql",
		tables: tablesOf("CREATE TABLE legacies (ID SERIAL, Board INT, Title VARCHAR(50))"), run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Legacy{ID: 1, Board: 1, Title: "k"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Legacy{ID: 1}).Update("Title", "l") },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Legacy{}).Where("ID = 1").Update("Board", 2) },
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Legacy{ID: 1}) },
		),
		want: []string{
			`create board-1 {"id":1,"title":"k"}`, `update board-1 {"id":1,"title":"l"} title`,
			`delete board-1 {"id":1,"title":"l"}`, `create board-2 {"id":1,"title":"l"}`, `delete board-2 {"id":1,"title":"l"}`,
		},
	},
	{
		name: "a column that is never read", tables: login, run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Login{ID: 1, BoardID: 1, Secret: "s", Name: "n"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Login{ID: 1}).Update("secret", "t") },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Login{ID: 1}).Update("board_id", 2) },
			func(db *gorm.DB) *gorm.DB {
				return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Login{ID: 1, BoardID: 2, Secret: "u", Name: "n"})
			},
			func(db *gorm.DB) *gorm.DB { return db.Delete(&Login{ID: 1}) },
		),
		want: []string{
			`create board-1 {"id":1,"name":"n","secret":""}`, `update board-1 {"id":1,"name":"n","secret":""} secret`,
			`delete board-1 {"id":1,"name":"n","secret":""}`, `create board-2 {"id":1,"name":"n","secret":""}`,
			`update board-2 {"id":1,"name":"n","secret":""}`, `delete board-2 {"id":1,"name":"n","secret":""}`,
		},
	},
	{
		name: "values that the table rounds and pads", tables: price, run: inOrder(
			func(db *gorm.DB) *gorm.DB {
				return db.Create(&Price{ID: 1, Shop: "a", Amount: "1.005", Due: moments[0], At: moments[1]})
			},
		),
		want: []string{`create shop-a {"amount":"1.01","at":"2026-05-06T07:08:09.123Z","due":"2026-05-06T00:00:00Z","id":1,"seen":"0001-01-01T00:00:00Z"}`},
		differ: map[string][]string{
			"sqlite":   {`create shop-a {"amount":"1.005","at":"2026-05-06T09:08:09.1234+02:00","due":"2026-05-06T07:08:09.123456789Z","id":1,"seen":"0001-01-01T00:00:00Z"}`},
			"postgres": {`create shop-a_____ {"amount":"1.01","at":"2026-05-06T07:08:09.123Z","due":"2026-05-06T00:00:00Z","id":1,"seen":"0001-01-01T00:00:00Z"}`},
		},
	},
	{
		name: "values that the program does not read again", tables: tablesOf("CREATE TABLE trusts (id SERIAL, amount NUMERIC(10,2))"),
		run:  func(db *gorm.DB) error { return db.Create(&Trust{ID: 1, Amount: "1.005"}).Error },
		want: []string{`create trust {"amount":"1.005","id":1}`},
	},
	{
		name: "a UUID in capitals", only: "postgres", tables: tablesOf("CREATE TABLE nicks (id UUID PRIMARY KEY, title VARCHAR(50))"), run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Nick{ID: "0A000000-0000-4000-8000-00000000000A"}) },
			func(db *gorm.DB) *gorm.DB {
				return db.Model(&Nick{ID: "0A000000-0000-4000-8000-00000000000A"}).Update("title", "k")
			},
		),
		want: []string{
			`create nicks {"id":"0a000000-0000-4000-8000-00000000000a","title":""}`, `update nicks {"id":"0a000000-0000-4000-8000-00000000000a","title":"k"} title`,
		},
	},
	{
		name: "associations in memory", tables: tablesOf(
			"CREATE TABLE parents (id SERIAL, title VARCHAR(50))", "CREATE TABLE children (id SERIAL, parent_id BIGINT)"), run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Parent{ID: 1, Title: "k", Children: []Child{{}, {}}}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Parent{ID: 1}).Update("title", "l") },
		),
		want: []string{`create parents {"children":0,"id":1,"title":"k"}`, `update parents {"children":0,"id":1,"title":"l"} title`},
	},
	{
		name: "a key that the database makes", tables: made, run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Made{ID: "x", BoardID: 1, Title: "k"}) },
			func(db *gorm.DB) *gorm.DB {
				return db.Create(&Made{BoardID: 2}).Exec("UPDATE mades SET id = 'y' WHERE board_id = 2").Model(&Made{ID: "y"}).Update("title", "l")
			},
		),
		only: "MySQL",
		want: []string{`create board-1 {"id":"x","title":"k"}`, `resync board-2 {"reason":"unknown"}`, `update board-2 {"id":"y","title":"l"} title`},
	},
	{
		name: "a key of zero", tables: tablesOf("CREATE TABLE zeros (id INT PRIMARY KEY, title VARCHAR(50))"), run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Zero{Title: "k"}) },
		), want: []string{`create zero-0 {"id":0}`},
	},
	{
		name: "the key set to what it is", tables: loose, fill: creates(&Loose{ID: 1, ProjectID: ptr(uint(1)), Title: "a"}), run: inOrder(
			func(db *gorm.DB) *gorm.DB {
				return db.Model(&Loose{}).Where("id = ?", 1).Updates(Loose{ID: 1, Title: "b"})
			},
			func(db *gorm.DB) *gorm.DB {
				return db.Model(&Loose{ID: 1}).Updates(map[string]any{"id": 1, "title": "c"})
			},
			func(db *gorm.DB) *gorm.DB {
				return db.Model(&Loose{ID: 1}).Select("*").Updates(Loose{ID: 1, ProjectID: ptr(uint(1)), Title: "d"})
			},
		),
		want: []string{
			`update project-1 {"id":1,"project":1,"title":"b"} id,title`,
			`update project-1 {"id":1,"project":1,"title":"c"} id,title`, `update project-1 {"id":1,"project":1,"title":"d"}`,
		},
	},
	{
		name: "another table than the model's", tables: tablesOf("CREATE TABLE looses_t1 (id SERIAL, project_id BIGINT, title VARCHAR(50))"), run: inOrder(
			func(db *gorm.DB) *gorm.DB {
				return db.Table("looses_t1").Create(&Loose{ID: 1, ProjectID: ptr(uint(1)), Title: "a"})
			},
			func(db *gorm.DB) *gorm.DB { return db.Table("looses_t1").Model(&Loose{ID: 1}).Update("project_id", 2) },
			func(db *gorm.DB) *gorm.DB {
				return db.Table("looses_t1 AS l").Model(&Loose{ID: 1}).Update("title", "b")
			},
			func(db *gorm.DB) *gorm.DB { return db.Table("looses_t1").Delete(&Loose{ID: 1}) },
		),
		want: []string{
			`create project-1 {"id":1,"project":1,"title":"a"}`, `delete project-1 {"id":1,"project":1,"title":"a"}`,
			`create project-2 {"id":1,"project":2,"title":"a"}`, `update project-2 {"id":1,"project":2,"title":"b"} title`, `delete project-2 {"id":1,"project":2,"title":"b"}`,
		},
	},
	{
		name: "a view that the database writes through", only: "postgres mysql",
		tables: tablesOf("CREATE TABLE behind (id SERIAL, project_id BIGINT, title VARCHAR(50))", "CREATE VIEW looses AS SELECT * FROM behind"),
		run: inOrder(
			func(db *gorm.DB) *gorm.DB { return db.Create(&Loose{ID: 1, ProjectID: ptr(uint(1)), Title: "a"}) },
			func(db *gorm.DB) *gorm.DB { return db.Model(&Loose{}).Where("title = ?", "a").Update("project_id", 2) },
			func(db *gorm.DB) *gorm.DB { return db.Where("title = ?", "a").Delete(&Loose{}) },
		),
		want: []string{
			`create project-1 {"id":1,"project":1,"title":"a"}`, `delete project-1 {"id":1,"project":1,"title":"a"}`,
			`create project-2 {"id":1,"project":2,"title":"a"}`, `delete project-2 {"id":1,"project":2,"title":"a"}`,
		},
	},
	{
		name: "a unique date", tables: tablesOf("CREATE TABLE days (id SERIAL, day DATE UNIQUE, title VARCHAR(50))"),
		fill: creates(&Day{ID: 1, Day: moments[0], Title: "a"}), run: inOrder(func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OnConflict{
				Columns: []clause.Column{{Name: "day"}}, DoUpdates: clause.AssignmentColumns([]string{"title"}),
			}).Create(&Day{Day: moments[0], Title: "b"})
		}), want: []string{`update days {"id":1} title`},
	},
	{
		name: "a view with triggers, create", only: "sqlite postgres", tables: view,
		run:  func(db *gorm.DB) error { return viewed(db) },
		want: []string{unknownProject},
	},
	{
		name: "a view with triggers, update", only: "sqlite postgres", tables: view, fill: viewed,
		want: []string{unknownProject},
		run:  func(db *gorm.DB) error { return db.Model(&Loose{}).Where("title = ?", "a").Update("title", "b").Error },
	},
	{
		name: "a view with triggers, delete", only: "sqlite postgres", tables: view, fill: viewed,
		run:  func(db *gorm.DB) error { return db.Where("title = ?", "a").Delete(&Loose{}).Error },
		want: []string{unknownProject},
	},
	{
		name: "a view with triggers, by key", only: "SQLite", tables: func(e Engine) []string {
			return tablesOf("CREATE TABLE behind (id SERIAL, title VARCHAR(50))", "CREATE VIEW zeros AS SELECT * FROM behind",
				"CREATE TRIGGER c INSTEAD OF INSERT ON zeros BEGIN INSERT INTO behind (id, title) VALUES (NEW.id, NEW.title); END",
				"CREATE TRIGGER u INSTEAD OF UPDATE ON zeros BEGIN UPDATE behind SET title = NEW.title WHERE id = OLD.id; END")(e)
		},
		fill: func(db *gorm.DB) error { return db.Create(&Zero{ID: 5, Title: "a"}).Error },
		run:  func(db *gorm.DB) error { return db.Model(&Zero{ID: 5}).Update("title", "b").Error },
		want: []string{`resync zero-{pk} {"reason":"unknown"}`},
	},
	{
		name: "a virtual table", only: "SQLite", tables: tablesOf("CREATE VIRTUAL TABLE looses USING FULLTEXT(id, project_id, title)"),
		run:  func(db *gorm.DB) error { return db.Create(&Loose{ProjectID: ptr(uint(1)), Title: "a"}).Error },
		want: []string{unknownProject},
	},
	{
		name: "a virtual table, update", only: "SQLite", tables: tablesOf("CREATE VIRTUAL TABLE looses USING FULLTEXT(id, project_id, title)"), fill: viewed,
		run:  func(db *gorm.DB) error { return db.Model(&Loose{}).Where("title = ?", "a").Update("title", "b").Error },
		want: []string{unknownProject},
	},
	{
		name: "a join table with a model", tables: tablesOf(
			"CREATE TABLE people (id SERIAL, name VARCHAR(50))", "CREATE TABLE skills (id SERIAL, name VARCHAR(50))",
			"CREATE TABLE person_skills (person_id BIGINT, skill_id BIGINT, PRIMARY KEY (person_id, skill_id))"),
		fill: creates(&Person{ID: 1}, &Skill{ID: 1}), run: func(db *gorm.DB) error {
			if err := db.SetupJoinTable(&Person{}, "Skills", &PersonSkill{}); err != nil {
				return err
			}
			skills := db.Model(&Person{ID: 1}).Association("Skills")
			if err := skills.Append(&Skill{ID: 1}); err != nil {
				return err
			}
			return skills.Delete(&Skill{ID: 1})
		},
		want: []string{`create person-1 {"id":[1,1]}`, `delete person-1 {"id":[1,1]}`},
	},
	{
		name: "a new and a known row of an association", tables: tablesOf(
			"CREATE TABLE people (id SERIAL, name VARCHAR(50))", "CREATE TABLE skills (id SERIAL, name VARCHAR(50))",
			"CREATE TABLE person_skills (person_id BIGINT, skill_id BIGINT, PRIMARY KEY (person_id, skill_id))"),
		fill: func(db *gorm.DB) error { return creates(&Person{ID: 1}, &Skill{Name: "old"})(db) }, run: func(db *gorm.DB) error {
			return db.Model(&Person{ID: 1}).Omit("Skills.person_skills").Association("Skills").Append([]Skill{{Name: "new"}, {ID: 1, Name: "old"}})
		},
		want:   []string{`create skills-new {"id":2}`},
		differ: map[string][]string{"MySQL": {`resync skills-new {"reason":"unknown"}`}},
	},
}

const unknownProject = `resync project-{project_id} {"reason":"unknown"}`

type (
	// Zero has a key that the program chooses.
	Zero struct {
		rohrpost.NotifyOnChange
		ID    uint `gorm:"primaryKey;autoIncrement:false"`
		Title string
	}

	// Day has a unique date.
	Day struct {
		rohrpost.NotifyOnChange `rohrpost:"group:days"`
		ID                      uint
		Day                     time.Time `gorm:"type:date"`
		Title                   string
	}

	// Trust has values that nobody reads again.
	Trust struct {
		rohrpost.NotifyOnChange `rohrpost:"group:trust;reread:false"`
		ID                      uint
		Amount                  Decimal
	}

	// Parent has Children.
	Parent struct {
		rohrpost.NotifyOnChange `rohrpost:"group:parents"`
		ID                      uint
		Title                   string
		Children                []Child
	}
	Child struct {
		ID       uint
		ParentID uint
	}
)

func (t Trust) PushNotificationData([]string, string) any {
	return object{"id": t.ID, "amount": t.Amount}
}

func (p Parent) PushNotificationData([]string, string) any {
	return object{"id": p.ID, "title": p.Title, "children": len(p.Children)}
}
