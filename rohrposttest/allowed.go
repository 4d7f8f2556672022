package rohrposttest

import (
	"testing"

	"github.com/rohrpost/rohrpost"
)

// Access says whether a user may subscribe to a group.
type Access struct {
	User  rohrpost.Identity
	Group string
	Want  bool
}

// Allowed checks the table against the Allow rules of the hub: each user really
// subscribes to the group, and leaves it again. It reports every row that is
// wrong.
func Allowed(t testing.TB, hub *rohrpost.Hub, table []Access) bool {
	t.Helper()
	ok := true
	for i, row := range table {
		got := mayEnter(t, hub, row)
		if got == row.Want {
			continue
		}
		ok = false
		if got {
			t.Errorf("row %d: %s may subscribe to %s, and must not", i, userName(row.User), row.Group)
		} else {
			t.Errorf("row %d: %s must be able to subscribe to %s, and is refused", i, userName(row.User), row.Group)
		}
	}
	return ok
}

func mayEnter(t testing.TB, hub *rohrpost.Hub, row Access) bool {
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
