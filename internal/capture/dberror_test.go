package capture

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// codedError has a code of a type of its own, as errors of ncruces/go-sqlite3 have.
type codedError struct{ code resultCode }

type resultCode uint8

func (e *codedError) Error() string    { return fmt.Sprint("code ", e.code) }
func (e *codedError) Code() resultCode { return e.code }

func TestEndsTransaction(t *testing.T) {
	postgres, mysql, sqlite := dialect{keyLocks: true}, dialect{}, dialect{writer: true}
	for _, test := range []struct {
		name    string
		dialect dialect
		err     error
		want    bool
	}{
		{"no error", mysql, nil, false},
		{"any error of PostgreSQL", postgres, fmt.Errorf("read: %w", stateError("42501")), true},
		{"a statement that PostgreSQL never saw", postgres, errors.New("extended protocol limited to 65535 parameters"), false},
		{"a lost connection", postgres, driver.ErrBadConn, false},
		{"an ended context", mysql, context.Canceled, false},
		{"a deadlock of MySQL", mysql, errors.Join(errors.New("read"), numberedError{1213}), true},
		{"a changed row of MariaDB", mysql, numberedError{1020}, true},
		{"a lock time-out of MySQL, which may be configured to", mysql, numberedError{1205}, true},
		{"another error of MySQL", mysql, numberedError{1054}, false},
		{"a full disk", sqlite, &codedError{13}, true},
		{"an I/O error with details", sqlite, numberedError{10 | 3<<8}, true},
		{"a busy database", sqlite, &codedError{5}, false},
		{"a transaction that is over", sqlite, sql.ErrTxDone, false},
	} {
		assert.Equal(t, test.want, test.dialect.endsTransaction(test.err), test.name)
	}
}
