package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
)

func at(offset uint64) broker.Position { return broker.Position{Epoch: "E", Offset: offset} }

func prefix(p string) func(string) bool {
	return func(group string) bool { return strings.HasPrefix(group, p) }
}

func TestLedger(t *testing.T) {
	l := New()
	ann, bob := l.Generation("ann"), l.Generation("bob")
	assert.True(t, l.MayResume("ann", "g-1", at(0)))
	assert.True(t, l.Admit("ann", "g-1", ann, at(3)))

	l.Revoke("ann", "g-", prefix("g-"))
	assert.False(t, l.Admit("ann", "g-1", ann, at(3)), "the decision is from before")
	assert.True(t, l.Admit("bob", "g-1", bob, at(3)))
	for offset := range uint64(20) {
		assert.False(t, l.MayResume("ann", "g-1", at(offset)), "the user has not come back")
		assert.True(t, l.MayResume("bob", "g-1", at(offset)))
		assert.True(t, l.MayResume("ann", "h", at(offset)))
	}
	assert.True(t, l.Admit("ann", "g-1", l.Generation("ann"), at(10)))
	assert.False(t, l.MayResume("ann", "g-1", at(9)))
	assert.True(t, l.MayResume("ann", "g-1", at(10)))
	assert.True(t, l.MayResume("ann", "g-1", broker.Position{Epoch: "F", Offset: 1}), "that is another history")
	assert.False(t, l.MayResume("ann", "g-2", at(10)))

	l.Revoke(Everyone, "", everything)
	for _, user := range []string{"ann", "bob", "cyd", ""} {
		assert.False(t, l.MayResume(user, "h", at(7)))
	}
	assert.False(t, l.MayResume("ann", "g-1", at(10)))
	assert.True(t, l.Admit("", "h", l.Generation(""), at(7)))
	assert.True(t, l.MayResume("", "h", at(7)))
	assert.False(t, l.MayResume("bob", "h", at(7)), "anonymous is not everyone")

	moment := l.Revoke("cyd", "h", Exactly("h"))
	assert.True(t, l.Admit("cyd", "h", l.Generation("cyd"), at(20)))
	l.Confirm("cyd", "h", moment)
	assert.False(t, l.MayResume("cyd", "h", at(19)), "an older answer changes nothing")
	moment = l.Revoke("cyd", "h", Exactly("h"))
	l.Confirm("cyd", "h", moment)
	assert.True(t, l.MayResume("cyd", "h", at(20)))
	assert.False(t, l.MayResume("cyd", "h", at(19)))
	moment = l.Revoke("cyd", "h", Exactly("h"))
	l.Revoke("cyd", "", everything)
	l.Confirm("cyd", "h", moment)
	assert.False(t, l.MayResume("cyd", "h", at(30)), "it was revoked once more")

	before := l.Generation("dan")
	l.Raise("eve")
	assert.Equal(t, before, l.Generation("dan"))
	l.Raise("dan")
	assert.NotEqual(t, before, l.Generation("dan"))
}

// One user who uses up the records loses by that alone, and many cannot make the ledger
// forget: it then holds for all.
func TestLedgerIsBounded(t *testing.T) {
	l := New()
	l.Revoke("bob", "g", Exactly("g"))
	for i := range 3 * maxRecords {
		l.RevokeGroup("ann", fmt.Sprint("g-", i))
	}
	assert.LessOrEqual(t, l.size, maxRecordsOfUser+1)
	assert.True(t, l.MayResume("bob", "h", at(1)))
	assert.False(t, l.MayResume("bob", "g", at(1)))
	assert.False(t, l.MayResume("ann", "g-1", at(1)))
	for i := range 2 * maxRecordsOfUser {
		group := fmt.Sprint("g-", i)
		assert.True(t, l.Admit("ann", group, l.Generation("ann"), at(1)))
	}
	assert.False(t, l.MayResume("ann", fmt.Sprint("g-", 2*maxRecordsOfUser-1), at(1)), "without room nothing is resumed")

	for i := range 2 * maxRecords {
		l.RevokeGroup(fmt.Sprint("user-", i), "g")
		l.Raise(fmt.Sprint("user-", i))
		l.Disconnect(fmt.Sprint("user-", i), Disconnect{Code: 4000})
	}
	assert.LessOrEqual(t, l.size, maxRecords+1)
	assert.LessOrEqual(t, len(l.generations), maxGenerations)
	assert.LessOrEqual(t, len(l.disconnects), maxGenerations)
	assert.False(t, l.MayResume("bob", "g", at(1)))
	assert.False(t, l.MayResume("user-1", "g", at(1)))
	assert.False(t, l.MayResume("zoe", "h", at(1)), "nobody knows any more")
	assert.True(t, l.Admit("zoe", "h", l.Generation("zoe"), at(2)))
	assert.True(t, l.MayResume("zoe", "h", at(2)))
}

func TestDisconnectedSince(t *testing.T) {
	l := New()
	early := l.Now()
	l.Disconnect("ann", Disconnect{Code: 4000, Reason: "bye"})
	late := l.Now()
	d, ok := l.DisconnectedSince(early, "ann")
	assert.True(t, ok)
	assert.Equal(t, 4000, d.Code)
	_, ok = l.DisconnectedSince(late, "ann")
	assert.False(t, ok)
	_, ok = l.DisconnectedSince(early, "bob")
	assert.False(t, ok)
	l.Disconnect(Everyone, Disconnect{Code: 4001})
	_, ok = l.DisconnectedSince(late, "bob")
	assert.True(t, ok)
	for i := range maxGenerations + 1 {
		l.Disconnect(fmt.Sprint(i), Disconnect{Code: 4002})
	}
	_, ok = l.DisconnectedSince(late, "somebody")
	assert.True(t, ok, "nobody knows any more")
	_, ok = l.DisconnectedSince(l.Now(), "somebody")
	assert.False(t, ok)
}
