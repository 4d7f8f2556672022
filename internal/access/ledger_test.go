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
	before := l.Now()
	assert.True(t, l.MayResume("ann", "g-1", at(0)))
	assert.True(t, l.Admit("ann", "g-1", before, at(3)))

	l.Revoke("ann", "g-", prefix("g-"))
	assert.False(t, l.Admit("ann", "g-1", before, at(3)), "the decision is from before")
	assert.True(t, l.Admit("bob", "g-1", before, at(3)))
	for offset := range uint64(20) {
		assert.False(t, l.MayResume("ann", "g-1", at(offset)), "the user has not come back")
		assert.True(t, l.MayResume("bob", "g-1", at(offset)))
		assert.True(t, l.MayResume("ann", "h", at(offset)))
	}
	assert.True(t, l.Admit("ann", "g-1", l.Now(), at(10)))
	assert.False(t, l.MayResume("ann", "g-1", at(9)))
	assert.True(t, l.MayResume("ann", "g-1", at(10)))
	assert.True(t, l.MayResume("ann", "g-1", broker.Position{Epoch: "F", Offset: 1}), "that is another history")
	assert.False(t, l.MayResume("ann", "g-2", at(10)))

	l.Revoke(Everyone, "", everything)
	for _, user := range []string{"ann", "bob", "cyd", ""} {
		assert.False(t, l.MayResume(user, "h", at(7)))
	}
	assert.False(t, l.MayResume("ann", "g-1", at(10)))
	assert.True(t, l.Admit("", "h", l.Now(), at(7)))
	assert.True(t, l.MayResume("", "h", at(7)))
	assert.False(t, l.MayResume("bob", "h", at(7)), "anonymous is not everyone")

	moment := l.Revoke("cyd", "h", Exactly("h"))
	assert.True(t, l.Admit("cyd", "h", l.Now(), at(20)))
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

	before = l.Now()
	l.Raise("eve")
	assert.True(t, l.Holds("dan", before))
	l.Raise("dan")
	assert.False(t, l.Holds("dan", before))

	before = l.Now()
	l.Refuse("dan", "g-", prefix("g-"))
	assert.True(t, l.Holds("dan", before), "a refusal leaves the decisions about others of the user")
	assert.False(t, l.MayResume("dan", "g-1", at(10)))
	assert.True(t, l.Admit("dan", "g-1", before, at(10)))
	assert.False(t, l.MayResume("dan", "g-1", at(10)), "the decision is from before the refusal")
	assert.True(t, l.Admit("dan", "g-1", l.Now(), at(11)))
	assert.False(t, l.MayResume("dan", "g-1", at(10)))
	assert.True(t, l.MayResume("dan", "g-1", at(11)))
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
		assert.True(t, l.Admit("ann", group, l.Now(), at(1)))
	}
	assert.LessOrEqual(t, l.size, 2*maxRecordsOfUser+1)
	assert.True(t, l.MayResume("ann", fmt.Sprint("g-", 2*maxRecordsOfUser-1), at(1)), "the latest is known")

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
	assert.True(t, l.Admit("zoe", "h", l.Now(), at(2)))
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
