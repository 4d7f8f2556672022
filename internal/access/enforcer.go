package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/internal/panics"
)

// maxChecks is the number of questions at a time that are asked again about memberships.
const maxChecks = 16

var (
	// ErrUndecided is returned, alone or wrapped, where a question has no answer now.
	ErrUndecided = errors.New("not decided")

	// ErrMoved is returned where the client has the right to the group in another way, and
	// not in this one any more.
	ErrMoved = errors.New("moved")
)

// TokenHash is the hash of a token, zero for none.
type TokenHash [sha256.Size]byte

// Conn is a connection as the Enforcer sees it.
type Conn interface {
	comparable

	// Who returns the user, "" for an anonymous one, and the token of the client.
	Who() (user string, token TokenHash)

	// Asked returns the groups about which the Enforcer asks again: those that the client
	// is in by its own request, and that are not for anyone.
	Asked() []string

	// Authorize asks the program whether the client may be in a group. It returns nil, an
	// error that wraps ErrUndecided, ErrMoved, or a refusal.
	Authorize(ctx context.Context, group string) error

	// Move ends the membership in a group and begins that which the client has the right to
	// in its place. It returns when nothing of the former is written any more, or with the
	// error of ctx.
	Move(ctx context.Context, group string) error

	// EndMemberships ends the memberships in the groups that match, and discards what
	// waits. It does not wait: wait returns when nothing of the groups is written any more.
	EndMemberships(match func(group string) bool) (wait func(context.Context) error)

	// End closes the connection in place of what waits. It does not wait: wait returns when
	// nothing is written any more.
	End(code int, reason string) (wait func(context.Context) error)

	// Ended reports whether the connection ends.
	Ended() bool

	// SetRecheck tells when Recheck is due for the connection.
	SetRecheck(after time.Duration)
}

// Enforcer ends connections and memberships whose users have lost the right to them. Make
// one with NewEnforcer. Its methods may be called concurrently.
type Enforcer[C Conn] struct {
	ledger   *Ledger
	conns    func(user string) []C // "": all
	interval time.Duration
	lost     func(user, group string)
	places   chan struct{}
}

// NewEnforcer returns an Enforcer of the connections that conns returns for a user, "" for
// all. interval is the time after which memberships are checked again; zero or less is
// never. lost is called, and does not wait, when the Enforcer finds by itself that a user
// has lost a group.
func NewEnforcer[C Conn](l *Ledger, interval time.Duration, conns func(user string) []C, lost func(user, group string)) *Enforcer[C] {
	return &Enforcer[C]{ledger: l, conns: conns, interval: interval, lost: lost, places: make(chan struct{}, maxChecks)}
}

// Disconnect ends the connections of a user, "" for all. It returns when nothing is
// written to them any more, or with the error of ctx.
func (e *Enforcer[C]) Disconnect(ctx context.Context, user string, code int, reason string) error {
	e.ledger.Disconnect(principal(user), Disconnect{Code: code, Reason: reason})
	var w waits
	for _, c := range e.conns(user) {
		w.add(c.End(code, reason))
	}
	return w.wait(ctx)
}

// Revoke ends the memberships of a user, "" for all, in the groups that match the pattern.
// It returns when nothing of the groups is written to them any more, or with the error of
// ctx.
func (e *Enforcer[C]) Revoke(ctx context.Context, user, pattern string, match func(group string) bool) error {
	e.ledger.Revoke(principal(user), pattern, match)
	var w waits
	for _, c := range e.conns(user) {
		w.add(c.EndMemberships(match))
	}
	return w.wait(ctx)
}

// Remember records that a user, "" for all, has lost the groups that match before there was
// anybody here.
func (e *Enforcer[C]) Remember(user, pattern string, match func(group string) bool) {
	e.ledger.Revoke(principal(user), pattern, match)
}

// Recheck asks again about the memberships of a user, "" for all, in the groups that match
// the pattern, and ends those that are refused. Those about which nothing is decided stay:
// then the error wraps ErrUndecided. One user resumes nothing from before, except where a
// right is confirmed: there may be no membership by which to find that it was gone. Of all
// users, others are told who has lost what, since they may not have those as members.
func (e *Enforcer[C]) Recheck(ctx context.Context, user, pattern string, match func(group string) bool) error {
	k := &check[C]{match: match}
	if user == "" {
		e.ledger.Raise(Everyone)
		k.lost = e.lost
	} else {
		k.moment = e.ledger.Revoke(user, pattern, match)
	}
	return e.check(ctx, e.conns(user), k)
}

// RecheckConn is Recheck for one connection.
func (e *Enforcer[C]) RecheckConn(ctx context.Context, c C) error {
	return e.check(ctx, []C{c}, &check[C]{match: everything, lost: e.lost})
}

// RecheckDue is Recheck for a connection that is due, and for all others of its user with
// the same token, which are not due then.
func (e *Enforcer[C]) RecheckDue(ctx context.Context, c C) {
	conns := []C{c}
	if user, token := c.Who(); user != "" {
		for _, other := range e.conns(user) {
			if _, its := other.Who(); other != c && its == token {
				conns = append(conns, other)
			}
		}
	}
	for _, c := range conns {
		e.PutOff(c)
	}
	_ = e.check(ctx, conns, &check[C]{match: everything, lost: e.lost}) // what is not decided has been logged, and is asked again
}

// PutOff makes the next recheck due after an interval, give or take a fifth.
func (e *Enforcer[C]) PutOff(c C) {
	if e.interval > 0 {
		c.SetRecheck(e.interval*4/5 + rand.N(e.interval*2/5+1))
	}
}

// question is asked once, however many connections it concerns.
type question[C Conn] struct {
	user  string
	token TokenHash
	group string
	conn  C // of an anonymous client without a token, which has nothing else
}

// check says what is asked, and what follows from the answers.
type check[C Conn] struct {
	match  func(group string) bool
	moment uint64                   // of the revocation that an answer may confirm; 0: none
	lost   func(user, group string) // nil: others know
	waits  waits
}

func (e *Enforcer[C]) check(ctx context.Context, conns []C, k *check[C]) error {
	questions := make(map[question[C]][]C)
	for _, c := range conns {
		q := question[C]{}
		if q.user, q.token = c.Who(); q.user == "" && q.token == (TokenHash{}) {
			q.conn = c
		}
		for _, q.group = range c.Asked() {
			if k.match(q.group) {
				questions[q] = append(questions[q], c)
			}
		}
	}
	var all sync.WaitGroup
	for q, conns := range questions {
		select {
		case e.places <- struct{}{}:
		case <-ctx.Done():
			all.Wait()
			return ctx.Err()
		}
		all.Go(func() {
			defer func() { <-e.places }()
			e.ask(ctx, q, conns, k)
		})
	}
	all.Wait()
	return k.waits.wait(ctx)
}

// ask asks one question and does what follows from the answer.
func (e *Enforcer[C]) ask(ctx context.Context, q question[C], conns []C, k *check[C]) {
	asked := conns[0]
	for _, c := range conns {
		if !c.Ended() {
			asked = c
		}
	}
	err := panics.Isolate(func() error { return asked.Authorize(ctx, q.group) })
	switch {
	case err == nil:
		if k.moment > 0 {
			e.ledger.Confirm(q.user, q.group, k.moment)
		}
	case errors.Is(err, ErrUndecided), ctx.Err() != nil:
		k.waits.undecide()
	case errors.Is(err, ErrMoved):
		e.ledger.RevokeGroup(q.user, q.group)
		for _, c := range conns {
			k.waits.fail(panics.Isolate(func() error { return c.Move(ctx, q.group) }))
		}
	default:
		e.ledger.RevokeGroup(q.user, q.group)
		for _, c := range conns {
			k.waits.add(c.EndMemberships(Exactly(q.group)))
		}
		if k.lost != nil && q.user != "" {
			k.lost(q.user, q.group)
		}
	}
}

// Exactly returns a function that matches one group.
func Exactly(name string) func(group string) bool {
	return func(group string) bool { return group == name }
}

// waits are what is still under way, and how much is not decided.
type waits struct {
	mu        sync.Mutex // guards what follows
	all       []func(context.Context) error
	undecided int
	failed    error
}

func (w *waits) add(wait func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, wait)
}

func (w *waits) undecide() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.undecided++
}

// fail adds an error that wait returns, if there is one.
func (w *waits) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = errors.Join(w.failed, err)
}

func (w *waits) wait(ctx context.Context) error {
	for _, wait := range w.all {
		if err := wait(ctx); err != nil {
			return err
		}
	}
	if w.failed != nil {
		return w.failed
	}
	if w.undecided > 0 {
		return fmt.Errorf("%d memberships stay: %w", w.undecided, ErrUndecided)
	}
	return nil
}

// principal returns the name of a user, "" for all, in the ledger.
func principal(user string) string {
	if user == "" {
		return Everyone
	}
	return user
}
