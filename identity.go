package rohrpost

import "time"

// Identity identifies the client of a connection. The zero Identity is anonymous and
// never expires. It does not change while the connection is open.
type Identity struct {
	// ID names the user. The hub logs it. Defaults to "", anonymous.
	ID string

	// Expires is when the hub closes the connection with 4001, so that the client
	// authenticates again. Defaults to never.
	Expires time.Time

	// Value is for the handlers of the program. Defaults to nil.
	Value any
}

func (id Identity) expired(now time.Time) bool {
	return !id.Expires.IsZero() && !now.Before(id.Expires)
}
