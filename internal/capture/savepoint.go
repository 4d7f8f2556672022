package capture

import (
	"strings"

	"gorm.io/gorm"
)

// afterText is the callback behind every statement without a model: raw SQL, by Exec,
// Raw, Row or a query, and writes by db.Table. It is the one place that sees them all:
// under prepared statements the pool sees a text only once. A consumer of tables without
// a model belongs here. Savepoints reach the database as text. A statement that failed
// changes nothing.
func afterText(db *gorm.DB) {
	if db.Error != nil || db.DryRun {
		noteEnd(db)
		return
	}
	verb, name := savepointCommand(db.Statement.SQL.String())
	if verb == "" {
		return
	}
	tx, _ := trackedTxOf(db.Statement.ConnPool)
	if tx == nil {
		return
	}
	switch verb {
	case "SAVEPOINT":
		tx.setSavepoint(name)
	case "RELEASE":
		tx.releaseSavepoint(name)
	default:
		tx.rollBackTo(name)
	}
}

// savepointCommand reads "SAVEPOINT x", "RELEASE [SAVEPOINT] x" and "ROLLBACK
// [WORK|TRANSACTION] TO [SAVEPOINT] x"; verb is empty for anything else.
func savepointCommand(query string) (verb, name string) {
	const longest = 512 // of a command worth splitting
	query = strings.TrimSpace(query)
	if len(query) > longest || !startsLikeSavepoint(query) {
		return "", ""
	}
	words := strings.Fields(strings.TrimRight(query, "; \t\r\n"))
	next := func(options ...string) bool {
		for _, option := range options {
			if len(words) > 1 && strings.EqualFold(words[0], option) {
				words = words[1:]
				return true
			}
		}
		return false
	}
	switch {
	case next("SAVEPOINT"):
		verb = "SAVEPOINT"
	case next("RELEASE"):
		verb = "RELEASE"
		next("SAVEPOINT")
	case next("ROLLBACK"):
		verb = "ROLLBACK TO"
		next("WORK", "TRANSACTION")
		if !next("TO") {
			return "", ""
		}
		next("SAVEPOINT")
	}
	if verb == "" || len(words) != 1 {
		return "", ""
	}
	return verb, strings.Trim(words[0], "\"`[]")
}

// startsLikeSavepoint looks at two letters, so that a SELECT costs nothing more.
func startsLikeSavepoint(query string) bool {
	if len(query) < 2 {
		return false
	}
	const lower = 0x20 // makes an ASCII letter lower case
	switch [2]byte{query[0] | lower, query[1] | lower} {
	case [2]byte{'s', 'a'}, [2]byte{'r', 'e'}, [2]byte{'r', 'o'}:
		return true
	}
	return false
}
