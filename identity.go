package rohrpost

import "time"

// Identity is who is at the other end of a connection. The zero Identity is
// anonymous and never expires. It does not change while the connection lives.
type Identity struct {
	// ID names the user. It stands in logs. Defaults to "", anonymous.
	ID string

	// Expires is when the connection is closed with 4001, so that it has to
	// authenticate again. Defaults to never.
	Expires time.Time

	// Value is whatever the program wants to find again in its handlers.
	// Defaults to nil.
	Value any
}

func (id Identity) expired(now time.Time) bool {
	return !id.Expires.IsZero() && !now.Before(id.Expires)
}
