package rohrposttest

import (
	"testing"

	"github.com/rohrpost/rohrpost"
)

// Access is the expected result of a subscription.
type Access struct {
	User  rohrpost.Identity // the zero Identity is an anonymous user
	Group string
	Want  bool // whether the hub must allow the subscription
}

// Allowed checks the hub's Allow rules against a table. For each row it opens a
// connection as the user and subscribes to the group. It reports an error for each row
// with a different result, and returns whether there was none.
func Allowed(t testing.TB, hub *rohrpost.Hub, table []Access) bool {
	t.Helper()
	ok := true
	for i, row := range table {
		got := canSubscribe(t, hub, row)
		if got == row.Want {
			continue
		}
		ok = false
		if got {
			t.Errorf("row %d: %s can subscribe to %s but must not", i, userName(row.User), row.Group)
		} else {
			t.Errorf("row %d: %s cannot subscribe to %s but must be able to", i, userName(row.User), row.Group)
		}
	}
	return ok
}

func canSubscribe(t testing.TB, hub *rohrpost.Hub, row Access) bool {
	t.Helper()
	c := Dial(t, hub, row.User)
	defer c.Close()
	return c.Call("subscribe", map[string]string{"group": row.Group}).Error == ""
}

func userName(user rohrpost.Identity) string {
	if user.ID == "" {
		return "an anonymous user"
	}
	return user.ID
}
