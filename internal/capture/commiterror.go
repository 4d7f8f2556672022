package capture

import (
	"errors"
	"reflect"
	"strings"
)

// answered reports whether the database has refused a COMMIT: then nothing has
// happened. Any other failure may have lost the answer to a COMMIT that succeeded.
// The errors of drivers have a code in common; importing the drivers for the types of
// their errors would make them dependencies of every program.
func answered(err error) bool {
	var state interface{ SQLState() string } // pgx, lib/pq
	if errors.As(err, &state) {
		code := state.SQLState()
		return code != "" && !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57P")
	}
	if strings.Contains(err.Error(), "commit unexpectedly resulted in rollback") { // pgx, for an aborted transaction
		return true
	}
	return anyError(err, func(err error) bool {
		if coded, ok := err.(interface{ Code() int }); ok { // modernc.org/sqlite
			return coded.Code() != 0
		}
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			return false
		}
		for _, name := range []string{"Number", "Code"} { // go-sql-driver/mysql, mattn/go-sqlite3
			field := v.FieldByName(name)
			if field.CanInt() && field.Int() != 0 || field.CanUint() && field.Uint() != 0 {
				return true
			}
		}
		return false
	})
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
