// Package access remembers what has happened to the rights of users: which decisions do
// not hold any more, and from where on a user may have the messages of a group.
package access

import (
	"sync"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// maxGenerations is the number of users whose generations are kept apart. Beyond it
	// every decision that is under way is made again.
	maxGenerations = 1 << 16

	// maxRecords is the number of revocations, and of returns after them, that are kept.
	// Beyond it nobody may resume from before. No time bounds them: a quiet group may keep
	// its next message for any time after a revocation.
	maxRecords = 1 << 16

	// maxRecordsOfUser is the number of them for one user. Beyond it the user may resume
	// nothing from before: nobody can use up the records of others.
	maxRecordsOfUser = 1 << 10
)

// Everyone stands for all users. "" is the user that is anonymous.
const Everyone = "\x00"

// Ledger holds for each user a generation, the moment at which the rights of the user have
// changed, and the revocations, since a history may have what the user must not get. A moment
// is a number that grows with each event. Make one with New.
// Its methods may be called concurrently and do not wait.
type Ledger struct {
	mu          sync.RWMutex // guards what follows
	sequence    uint64
	floor       uint64            // the lowest generation of all users
	generations map[string]uint64 // of users, above the floor
	users       map[string]*account
	size        int // revocations and returns of all users

	disconnects       map[string]Disconnect
	lowestDisconnects uint64 // of what is not in disconnects any more
}

// Disconnect is the end of the connections of a user.
type Disconnect struct {
	Code     int
	Reason   string
	sequence uint64
}

// account is what the Ledger knows of one user, or of everyone.
type account struct {
	revocations map[string]revocation // by pattern
	returns     map[string]comeback   // by group
}

// revocation is the end of the rights to the groups that match.
type revocation struct {
	match    func(group string) bool
	sequence uint64
}

// comeback is the position at which a user has come back into a group after revocations.
type comeback struct {
	position broker.Position
	sequence uint64 // the revocations before it
}

// New returns an empty Ledger.
func New() *Ledger {
	return &Ledger{
		generations: make(map[string]uint64),
		users:       make(map[string]*account),
		disconnects: make(map[string]Disconnect),
	}
}

// Now returns the moment.
func (l *Ledger) Now() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.sequence
}

// Disconnect records that the connections of a user end, also those that are being opened.
func (l *Ledger) Disconnect(user string, d Disconnect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	if len(l.disconnects) >= maxGenerations {
		l.lowestDisconnects = l.sequence - 1
		clear(l.disconnects)
	}
	d.sequence = l.sequence
	l.disconnects[user] = d
}

// DisconnectedSince reports whether a connection of the user ends whose authentication
// was begun at a moment. The Disconnect is zero if it is known no more.
func (l *Ledger) DisconnectedSince(moment uint64, user string) (Disconnect, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, d := range []Disconnect{l.disconnects[user], l.disconnects[Everyone]} {
		if d.sequence > moment {
			return d, true
		}
	}
	return Disconnect{}, l.lowestDisconnects > moment
}

// Holds reports whether a decision about a user holds that was begun at a moment.
func (l *Ledger) Holds(user string, moment uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.generation(user) <= moment
}

func (l *Ledger) generation(user string) uint64 { return max(l.floor, l.generations[user]) }

// Raise makes every decision about the user be made again.
func (l *Ledger) Raise(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raise(user)
}

func (l *Ledger) raise(user string) {
	l.sequence++
	if user == Everyone || len(l.generations) >= maxGenerations {
		l.floor = l.sequence
		clear(l.generations)
		return
	}
	l.generations[user] = l.sequence
}

// Revoke is Raise, and records that the user has lost the groups that match. pattern
// names the function match: a later Revoke with the same pattern replaces the record. It
// returns the moment of the revocation.
func (l *Ledger) Revoke(user, pattern string, match func(group string) bool) (moment uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raise(user)
	l.record(user, pattern, match)
	return l.sequence
}

// Refuse is Revoke, but the decisions about the user hold.
func (l *Ledger) Refuse(user, pattern string, match func(group string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	l.record(user, pattern, match)
}

func (l *Ledger) record(user, pattern string, match func(group string) bool) {
	l.makeRoom()
	a := l.account(user)
	if len(a.revocations)+len(a.returns) >= maxRecordsOfUser {
		l.size -= len(a.revocations) + len(a.returns)
		clear(a.revocations)
		clear(a.returns)
		pattern, match = "", everything
	}
	if _, known := a.revocations[pattern]; !known {
		l.size++
	}
	a.revocations[pattern] = revocation{match: match, sequence: l.sequence}
}

// Confirm takes back the revocations of a group for a user up to a moment: the user has had
// the right all the time.
func (l *Ledger) Confirm(user, group string, moment uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if back := l.comeback(user, group); back.sequence < moment {
		back.sequence = moment
		l.comeBack(user, group, back)
	}
}

// RevokeGroup is Revoke for one group.
func (l *Ledger) RevokeGroup(user, group string) { l.Revoke(user, group, Exactly(group)) }

// MayResume reports whether a user may have the messages of a group after a position, as
// far as revocations are concerned.
func (l *Ledger) MayResume(user, group string, since broker.Position) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	back := l.comeback(user, group)
	if l.revoked(user, group) > back.sequence {
		return false
	}
	return back.position.Epoch != since.Epoch || since.Offset >= back.position.Offset
}

// Admit reports whether a decision holds that was begun at a moment. If so, it records that
// the user has the group from a position on, unless it was refused since that moment. The
// user must be about to get it.
func (l *Ledger) Admit(user, group string, moment uint64, at broker.Position) bool {
	l.mu.RLock()
	holds := l.generation(user) <= moment
	settled := !holds || l.revoked(user, group) <= l.comeback(user, group).sequence
	l.mu.RUnlock()
	if settled {
		return holds
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation(user) > moment {
		return false
	}
	l.comeBack(user, group, comeback{position: at, sequence: moment})
	return true
}

// comeBack records a comeback. Without room it forgets another one: a page of that group
// loads a snapshot once more, and comes back by that.
func (l *Ledger) comeBack(user, group string, c comeback) {
	l.makeRoom()
	a := l.account(user)
	if _, known := a.returns[group]; !known {
		l.size++
		for other := range a.returns {
			if len(a.returns) < maxRecordsOfUser {
				break
			}
			delete(a.returns, other)
			l.size--
		}
	}
	a.returns[group] = c
}

func (l *Ledger) comeback(user, group string) comeback {
	if a := l.users[user]; a != nil {
		return a.returns[group]
	}
	return comeback{}
}

// revoked returns the sequence of the latest revocation of a group for a user, 0 for none.
func (l *Ledger) revoked(user, group string) (latest uint64) {
	if len(l.users) == 0 {
		return 0
	}
	latest = l.users[user].revoked(group)
	if user != Everyone {
		latest = max(latest, l.users[Everyone].revoked(group))
	}
	return latest
}

func (a *account) revoked(group string) (latest uint64) {
	if a == nil {
		return 0
	}
	for _, r := range a.revocations {
		if r.sequence > latest && r.match(group) {
			latest = r.sequence
		}
	}
	return latest
}

// makeRoom replaces too many records by one revocation of everything for everyone: pages
// that come back load their snapshots.
func (l *Ledger) makeRoom() {
	if l.size < maxRecords {
		return
	}
	clear(l.users)
	l.account(Everyone).revocations[""] = revocation{match: everything, sequence: l.sequence}
	l.size = 1
}

func everything(string) bool { return true }

func (l *Ledger) account(user string) *account {
	a := l.users[user]
	if a == nil {
		a = &account{revocations: make(map[string]revocation), returns: make(map[string]comeback)}
		l.users[user] = a
	}
	return a
}
