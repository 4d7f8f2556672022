package mutants

const revocations = "-revocations 100"

// accessMutants are those of who may connect, who may see what, and taking it away.
var accessMutants = []mutant{
	{
		"admits where no pattern matches", "access.go",
		"	if rule == nil {\n		return \"\", errDenied", "	if rule == nil {\n		return group, nil", "", "TestDeniedSubscriptionsLookAlike", "",
	},
	{
		"takes a late decision", "access.go",
		"	if err == nil {\n		err = late\n	}", "	_ = late", "", "TestDeniedSubscriptionsLookAlike", "",
	},
	{
		"lets every decision hold", "access.go",
		"return p.isPublic || p.isCurrent() && p.conn.hub.ledger.Admit(p.user, p.stream, p.moment, at)", "return true", "", "TestAllowDecidesAgain", "",
	},
	{
		"replays what happened while a right was gone", "access.go",
		"return p.isPublic || p.conn.hub.ledger.MayResume(p.user, p.stream, since)", "return true", "", "TestResumeAfterRevoke", "",
	},
	{
		"asks about what Anyone has admitted", "access.go",
		"slices.DeleteFunc(s.member.Subscribed(), s.hub.isPublic)", "s.member.Subscribed()", "", "TestRecheck", "",
	},
	{
		"asks about what Join has decided", "access.go",
		"slices.DeleteFunc(s.member.Subscribed(), s.hub.isPublic)", "slices.DeleteFunc(s.member.Groups(), s.hub.isPublic)", "", "TestRecheck", "",
	},
	{
		"takes no decision for a refusal", "access.go",
		"case errors.Is(err, ErrUnavailable) || errors.Is(err, errLate):", "case errors.Is(err, ErrUnavailable):", "", "TestRechecksAreLimited", "",
	},
	{
		"asks again without the token", "access.go",
		"received.Fields = map[string]json.RawMessage{tokenField: field}", "_ = field", "", "TestRecheckInterval", "",
	},
	{
		"logs a token", "access.go",
		"scrubbed(err, c.tokenIn(parent))", "err", "", "TestNoSecretsInTheLog", "",
	},
	{
		"keeps the old membership of a refused client", "subscribe.go",
		"	if isMember {", "	if false {", "", "TestRefusedResubscribeLeaves", "",
	},
	{
		"forgets the refusal of a resume", "subscribe.go",
		"if isMember || resume && c.user() != \"\" {", "if isMember {", "", "TestResumeAfterRevoke", "",
	},
	{
		"takes the refusal of one anonymous client for that of all", "subscribe.go",
		"if isMember || resume && c.user() != \"\" {", "if isMember || resume {", "", "TestRefusedResumeOfAnonymous", "",
	},
	{
		"decides about all connections of a user that is refused", "subscribe.go",
		"c.hub.ledger.Refuse(c.user(), group, isGroup)", "c.hub.ledger.Revoke(c.user(), group, isGroup)", "", "TestRefusalsLeaveOtherDecisions", "",
	},
	{
		"lets the decisions of a refused connection hold", "subscribe.go",
		"		c.losses.Add(1)\n", "", "", "TestRefusalsLeaveOtherDecisions", "",
	},
	{
		"takes the position of a public group", "access.go",
		"return p.isPublic || p.conn.hub.ledger.MayResume(p.user, p.stream, since)", "return p.conn.hub.ledger.MayResume(p.user, p.stream, since)", "", "TestPublicGroupsOutliveRevocations", "",
	},
	{
		"decides again about a public group", "access.go",
		"return p.isPublic || p.isCurrent() && p.conn.hub.ledger.Admit(p.user, p.stream, p.moment, at)", "return p.isCurrent() && p.conn.hub.ledger.Admit(p.user, p.stream, p.moment, at)", "", "TestPublicGroupsOutliveRevocations", "",
	},
	{
		"lets an older decision take a refusal back", "internal/access/ledger.go",
		"comeback{position: at, sequence: moment}", "comeback{position: at, sequence: l.sequence}", "internal/access", "TestLedger", "",
	},
	{
		"remembers only the first who come back", "internal/access/ledger.go",
		"			delete(a.returns, other)\n			l.size--\n", "			_ = other\n			l.size--\n			return\n", "internal/access", "TestLedgerIsBounded", "",
	},
	{
		"sends nothing in place of an answer that is taken back", "subscribe.go",
		"Withdrawn: a.withdrawn}", "}", "", "TestRevokeTakesBackAnswers", "",
	},
	{
		"calls handlers for everybody", "dispatch.go",
		`c.user() == "" && c.hub.config.authenticated`, "false", "", "TestHandlersAreClosed", "",
	},
	{
		"asks about each token again", "hello.go",
		"c.credentials.Load().token == hash", "false", "", "TestTokenOfRequests", "",
	},
	{
		"lets a token change the user", "hello.go",
		`before.ID != "" && before.ID != now.ID`, "false", "", "TestTokensThatEndAConnection", "",
	},
	{
		"keeps a connection that was authenticated while it was disconnected", "conn.go",
		"	c.endIfDisconnected(began)\n", "	_ = began\n", "", "TestDisconnectDuringTheHandshake", "",
	},
	{
		"forgets the connections of a user", "internal/registry/registry.go",
		"	r.removeUser(c, from)\n	r.addUser(c, to)\n", "	r.removeUser(c, from)\n", "", "TestTokenOfHello", "",
	},
	{
		"lets a member join where the hub is", "internal/fanout/replay.go",
		"if err := s.engine.refresh(ctx, s.group); err != nil {", "if err := error(nil); err != nil {", "", "TestNothingFromBeforeTheRight", "",
	},
	{
		"takes a position from before it has read the stream", "internal/fanout/replay.go",
		"		s.takePosition()\n	}\n	s.least = s.base", "	}\n	s.least = s.base", "", "TestNothingFromBeforeTheRight", "",
	},
	{
		"shares a snapshot from before the right", "internal/fanout/replay.go",
		"|| from.Epoch == s.least.Epoch && from.Offset < s.least.Offset {", "{", "", "TestNoSnapshotFromBeforeTheRight", "",
	},
	{
		"lets a client join without the broker", "internal/fanout/refresh.go",
		"			return ErrUnavailable\n		}\n		if e.takeAhead", "			return nil\n		}\n		if e.takeAhead", "", "TestNobodyJoinsWithoutTheBroker", "",
	},
	{
		"drops what it has read ahead of the members", "internal/fanout/refresh.go",
		"			e.pass(g, &posts[i])\n", "", "", "TestNothingFromBeforeTheRight", "",
	},
	{
		"forgets revocations from before it began", "internal/upstream/kept.go",
		"			k.remote.Receiver.Remember(order.Order)\n", "", "", "TestRevocationsOutliveAHub", "",
	},
	{
		"overlooks an order that it cannot read", "internal/upstream/kept.go",
		"			k.remote.Receiver.Remember(Order{Kind: OrderRevoke})\n", "", "", "TestRevocationsOutliveAHub", "",
	},
	{
		"forgets rechecks from before it began", "receiver.go",
		` || o.Kind == upstream.OrderRecheck && o.User != "" {`, " {", "", "TestRevocationsOutliveAHub", "",
	},
	{
		"tells nobody what a recheck of all has found", "internal/access/enforcer.go",
		"		k.lost = e.lost\n", "", "", "TestRevocationsOutliveAHub", "",
	},
	{
		"builds no middleware for earlier handlers", "handler.go",
		"			h.handlers[name] = r\n", "", "", "TestUse", "",
	},
	{
		"takes a handler for its middleware", "handler.go",
		"if do = middleware(do); do == nil {", "if middleware(do) == nil {", "", "TestUse", "",
	},
	{
		"does not raise the generation", "internal/access/ledger.go",
		"	l.generations[user] = l.sequence\n", "", "internal/access", "TestLedger", "",
	},
	{
		"resumes at the position of the revocation", "internal/access/ledger.go",
		"if l.revoked(user, group) > back.sequence {", "if false {", "internal/access", "TestLedger", "",
	},
	{
		"forgets where a user has come back", "internal/access/ledger.go",
		"|| since.Offset >= back.position.Offset", "|| true", "internal/access", "TestLedger", "",
	},
	{
		"takes a later revocation back", "internal/access/ledger.go",
		"back.sequence = moment", "back.sequence = l.sequence", "internal/access", "TestLedger", "",
	},
	{
		"lets one user use up the records of all", "internal/access/ledger.go",
		"if len(a.revocations)+len(a.returns) >= maxRecordsOfUser {", "if false {", "internal/access", "TestLedgerIsBounded", "",
	},
	{
		"forgets when there is no room", "internal/access/ledger.go",
		`l.account(Everyone).revocations[""] = revocation{match: everything, sequence: l.sequence}`, "", "internal/access", "TestLedgerIsBounded", "",
	},
	{
		"asks for each connection", "internal/access/enforcer.go",
		`if q.user, q.token = c.Who(); q.user == "" && q.token == (TokenHash{}) {`, `if q.user, q.token = c.Who(); true {`, "", "TestRecheck", "",
	},
	{
		"asks once for all anonymous clients", "internal/access/enforcer.go",
		`q.user == "" && q.token == (TokenHash{}) {`, "false {", "", "TestRecheck", "",
	},
	{
		"asks all at once", "internal/access/enforcer.go",
		"make(chan struct{}, maxChecks)", "make(chan struct{}, 1000)", "", "TestRechecksAreLimited", "",
	},
	{
		"keeps what is refused", "internal/access/enforcer.go",
		"			k.waits.add(c.EndMemberships(Exactly(q.group)))\n", "			_ = c\n", "", "TestRecheck", "",
	},
	{
		"leaves frames of a revoked group in the backlog", "internal/fanout/revoke.go",
		"	m.writer.revoke(match)\n", "", "", "TestRevokeSchedules", revocations,
	},
	{
		"leaves frames of a revoked group in a batch", "internal/fanout/revoke.go",
		"n.frame, n.label = n.label.substitute(), nil", "_ = n", "", "TestRevokeSchedules", revocations,
	},
	{
		"sends the last part after one that was taken back", "internal/fanout/subscription.go",
		"	case s.underway.restart:\n", "	case false:\n", "internal/fanout", "TestRevokeTakesBackAPart", "",
	},
	{
		"does not wait for a write", "internal/fanout/revoke.go",
		"return m.writer.awaitLanding(ctx)", "return nil", "internal/fanout", "TestRevokeWhileFramesAreWritten", "",
	},
	{
		"goes on with frames that are not begun", "internal/fanout/backlog.go",
		"			c.revoked = true\n", "", "internal/fanout", "TestRevokeWhileFramesAreWritten", "",
	},
	{
		"lets every page connect", "internal/origin/origin.go",
		"	return sameOrigin(r, got)\n", "	return true\n", "internal/origin", "TestOrigin", "",
	},
	{
		"compares origins without the port", "internal/origin/origin.go",
		"return got == newOrigin(got.scheme, &url.URL{Host: r.Host})", "return got.host == newOrigin(got.scheme, &url.URL{Host: r.Host}).host", "internal/origin", "TestOrigin", "",
	},
	{
		"takes http for https", "internal/origin/origin.go",
		`(got.scheme != "http" || r.TLS != nil)`, `got.scheme != "http"`, "internal/origin", "TestOrigin", "",
	},
	{
		"takes the first of two origins", "internal/origin/origin.go",
		"	if len(values) > 1 {", "	if false {", "internal/origin", "TestOriginHeaders", "",
	},
	{
		"lets a wildcard stand for the domain itself", "internal/origin/origin.go",
		`return found && host != "" && `, `return found && host != "x" && `, "internal/origin", "TestWildcardAndNullOrigins", "",
	},
	{
		"reads more than an origin", "internal/origin/origin.go",
		`	if !strings.EqualFold(u.Scheme+"://"+u.Host, value) {`, "	if false {", "internal/origin", "TestOrigin", "",
	},
}
