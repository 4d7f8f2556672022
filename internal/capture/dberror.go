package capture

import (
	"errors"
	"reflect"
	"strings"

	"gorm.io/gorm"
)

// The errors of drivers are told apart by their methods and fields: importing the drivers
// for the types of their errors would make them dependencies of every program.

// answered reports whether the database has refused a COMMIT: then nothing has
// happened. Any other failure may have lost the answer to a COMMIT that succeeded.
func answered(err error) bool {
	if code := sqlState(err); code != "" {
		return !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57P")
	}
	if strings.Contains(err.Error(), "commit unexpectedly resulted in rollback") { // pgx, for an aborted transaction
		return true
	}
	return errorNumber(err) != 0
}

// endsTransaction reports whether the error of a statement has ended the transaction, or
// aborted it. A statement that the server never saw has not.
func (d dialect) endsTransaction(err error) bool {
	switch number := errorNumber(err); {
	case err == nil:
		return false
	case d.keyLocks: // PostgreSQL takes no more statements after any error
		return sqlState(err) != ""
	case d.writer:
		const primary, noMemory, inputOutput, full = 0xff, 7, 10, 13
		return number&primary == noMemory || number&primary == inputOutput || number&primary == full
	default: // MySQL rolls back, for the lock time-out only if it is configured to
		const changed, lockTimeout, lockTableFull, deadlock = 1020, 1205, 1206, 1213
		return number == changed || number == lockTimeout || number == lockTableFull || number == deadlock
	}
}

// noteEnd lets a transaction be in doubt if its last statement failed in a way that may
// have rolled it back: a caller may ignore that and commit what is left.
func noteEnd(db *gorm.DB) {
	if db.Error == nil {
		return
	}
	tx, _ := trackedTxOf(db.Statement.ConnPool)
	if d := dialectOf(db); tx != nil && !d.keyLocks && d.endsTransaction(db.Error) { // PostgreSQL refuses the COMMIT itself
		tx.doubt()
	}
}

// sqlState returns the SQLSTATE of an error of pgx or lib/pq, "" for any other error.
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// errorNumber returns the number that the database gave to an error, 0 for one that does
// not come from a database.
func errorNumber(err error) (number int64) {
	anyError(err, func(err error) bool {
		v := reflect.ValueOf(err)
		if code := v.MethodByName("Code"); code.IsValid() { // modernc.org/sqlite, ncruces/go-sqlite3
			if t := code.Type(); t.NumIn() == 0 && t.NumOut() == 1 {
				number = integerOf(code.Call(nil)[0])
			}
		}
		if v = reflect.Indirect(v); number == 0 && v.Kind() == reflect.Struct {
			for _, name := range []string{"Number", "Code"} { // go-sql-driver/mysql, mattn/go-sqlite3
				if number == 0 {
					number = integerOf(v.FieldByName(name))
				}
			}
		}
		return number != 0
	})
	return number
}

// integerOf returns the value of an integer of any type, 0 for anything else.
func integerOf(v reflect.Value) int64 {
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	}
	return 0
}

// anyError reports whether f holds for an error of the tree.
func anyError(err error, f func(error) bool) bool {
	if err == nil || f(err) {
		return err != nil
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		return anyError(wrapped.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, err := range wrapped.Unwrap() {
			if anyError(err, f) {
				return true
			}
		}
	}
	return false
}
