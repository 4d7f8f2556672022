package mutants

// hostileMutants are those of the defences against clients and against the program's own
// failures.
var hostileMutants = []mutant{
	{
		"takes an error of the program as it is", "internal/panics/panics.go",
		"return Seal(Guard(f))", "return Guard(f)", "", "TestEveryCallFails", "",
	},
	{
		"ends with a handler that ends its goroutine", "dispatch.go",
		"			c.member.Wake()\n			c.tasks.Go(c.dispatch)", "", "", "TestEveryCallFails", "",
	},
	{
		"lets a shared snapshot end its waiters", "internal/snapshots/calls.go",
		"defer c.end(key, l)", "_ = func() { c.end(key, l) }", "", "TestEveryCallFails", "",
	},
	{
		"calls a broker without protection", "internal/upstream/guarded.go",
		"err = panics.Isolate(func() (err error) {\n		at, err = g.broker.Positions", "err = func(f func() error) error { return f() }(func() (err error) {\n		at, err = g.broker.Positions", "", "TestEveryCallFails", "",
	},
	{
		"keeps the place of a handshake that failed", "upgrade.go",
		"	if a.begun && !a.opened {", "	if false {", "", "TestFailingHijack", "",
	},
	{
		"forgets the deadline of a message with each ping", "keepalive.go",
		"if c.closing || !c.messageBy.IsZero() {\n		return nil", "if c.closing {\n		return nil", "", "TestExcessIsCut", "",
	},
	{
		"keeps the deadline of a message that came", "reader.go",
		"		if !c.frames.Partial() {\n			c.messageDone()", "		if false {\n			c.messageDone()", "", "TestPiecesInTime", "",
	},
	{
		"moves a message for each of its pieces", "internal/frames/reader.go",
		"min(max(end, 2*start), ", "min(end, ", "internal/frames", "TestTinyFragments", "",
	},
	{
		"hands slots on without a pause", "internal/budget/slots.go",
		"	if s.handed.Add(1)%yieldEvery == 0 {", "	if s.handed.Add(1) == 0 {", "internal/budget", "TestSlotsLetOthersRun", "",
	},
	{
		"reads much without a pause", "reader.go",
		"	if c.socket.reader.Filled() {", "	if false {", "", "TestMuchInputLetsOthersRun", "",
	},
	{
		"does not pause before it cuts", "internal/budget/inbound.go",
		"	return pause, Within\n", "	return 0, use\n", "", "TestExcessIsCut", "",
	},
	{
		"charges no frames without payload", "internal/budget/inbound.go",
		"i.messages.Take(now, 1, r.Messages)", "i.messages.Take(now, min(1, size-6), r.Messages)", "", "TestExcessIsCut", "",
	},
	{
		"counts a refused group again", "internal/budget/distinct.go",
		"if d.known[name] {", "if false {", "", "TestRatesAreKept", "",
	},
	{
		"accepts a length that is not in its shortest form", "internal/frames/header.go",
		"if h.Length < 126 {", "if false {", "", "TestRFC6455", "",
	},
	{
		"takes a close frame of one byte", "internal/frames/reader.go",
		"	if len(p) == 1 {", "	if false {", "", "TestRFC6455", "",
	},
	{
		"checks UTF-8 only at the end", "internal/frames/reader.go",
		"r.opcode == Text && !r.isText(h.Final)", "r.opcode == Text && h.Final && !r.isText(true)", "", "TestRFC6455", "",
	},
	{
		"drops the replies before a violation", "reader.go",
		"	case <-c.inbox.idle():\n	case <-c.ctx.Done():\n	case <-time.After(settleTimeout):", "	default:", "", "TestRFC6455", "",
	},
	{
		"believes the first address of X-Forwarded-For", "internal/places/address.go",
		"for i := len(all) - 1; i >= 0; i-- {", "for i := range all {", "internal/places", "TestAddressOf", "",
	},
	{
		"lets one address hold all handshakes", "internal/places/shares.go",
		"return s.taken < s.max && s.held.within(names, partOf(s.max))", "return s.taken < s.max", "internal/places", "TestSharesAreBounded", "",
	},
	{
		"keeps the place of a connection while functions run", "reader.go",
		"	c.place.Free()", "	defer c.place.Free()", "", "TestPlaceIsFreeWhenTheSocketIsGone", "",
	},
	{
		"refuses an address also where places are free", "internal/places/connections.go",
		"case c.taken >= c.max/2 && ", "case ", "internal/places", "TestConnections", "",
	},
	{
		"ends the history of others for new names", "internal/history/store.go",
		"		st.among = &sh.blank", "", "internal/history", "TestNewNamesEndNoHistory", "",
	},
	{
		"changes a batch that its source may repeat", "internal/history/sources.go",
		"s.Publish(slices.Clone(b.Messages))", "_ = slices.Clone(b.Messages)\n			s.Publish(b.Messages)", "internal/history", "TestTakenBatchesStay", "",
	},
	{
		"takes a stream that gets messages for an unused one", "internal/history/store.go",
		"st.among.MoveToBack(st.unused)", "", "internal/history", "TestMessagesKeepUnusedStreams", "",
	},
	{
		"lets a loud group take the history of others", "internal/history/store.go",
		"sh.trim(sh.greedy(st, shards.Share(s.config.Limits.MaxTotalBytes)), 1)", "sh.trim(sh.keeping.Front().Value.(*stream), 1)", "internal/history", "TestFairShares", "",
	},
	{
		"keeps the slot while a result is encoded", "dispatch.go",
		"if !handler.quick || token != nil {", "if false {", "", "TestEveryCallFails", "",
	},
}
