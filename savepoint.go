package rohrpost

import (
	"strings"

	"gorm.io/gorm"
)

// savepoint is the callback after raw SQL: savepoints reach the database as
// text, and under prepared statements the pool sees that text only once. A
// statement that failed changes nothing.
func savepoint(db *gorm.DB) {
	tx, _ := transactionOf(db.Statement.ConnPool)
	if tx == nil || db.Error != nil || db.DryRun {
		return
	}
	verb, name := savepointCommand(db.Statement.SQL.String())
	if verb == "" {
		return
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if verb == "SAVEPOINT" {
		tx.marks = append(tx.marks, mark{name, len(tx.waiting)})
		return
	}
	for i := len(tx.marks) - 1; i >= 0; i-- { // the newest of a name counts
		if !strings.EqualFold(tx.marks[i].name, name) {
			continue
		}
		if verb == "RELEASE" {
			tx.marks = tx.marks[:i]
			return
		}
		tx.truncate(tx.marks[i].depth)
		tx.marks = tx.marks[:i+1] // ROLLBACK TO keeps the savepoint
		return
	}
}

// savepointCommand reads "SAVEPOINT x", "RELEASE [SAVEPOINT] x" and "ROLLBACK
// [WORK|TRANSACTION] TO [SAVEPOINT] x"; verb is empty for anything else.
func savepointCommand(query string) (verb, name string) {
	const longest = 512 // of a command worth splitting
	query = strings.TrimSpace(query)
	if query == "" || len(query) > longest || !strings.ContainsRune("sSrR", rune(query[0])) {
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
