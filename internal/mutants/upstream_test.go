package mutants

// upstreamMutants are those of package upstream, which stands before a broker.
var upstreamMutants = []mutant{
	{
		"delivers while orders are missing", "internal/upstream/listen.go",
		"		case r.orders.isPaused():\n			// It is found missing later.\n", "", "", "TestOrdersBeforeTheFirstChange", "",
	},
	{
		"looks for no orders after a reconnect", "internal/upstream/orders.go",
		"	if o.pause(); o.at.Epoch != \"\" {\n", "	if o.resumed != nil {\n		close(o.resumed)\n		o.resumed = nil\n	}\n	if false {\n", "", "TestOrdersBeforeDeliveries", "",
	},
	{
		"delivers before an order that came while Follow was under way", "internal/upstream/orders.go",
		"begin comes later, perhaps with an earlier position\n		o.pause()\n", "\n", "internal/upstream", "TestOrdersWhileFollowIsUnderWay", "",
	},
	{
		"looks for no orders from before Run listens the first time", "internal/upstream/orders.go",
		"	if o.pause(); o.at.Epoch != \"\" {\n", "	if o.at.Epoch != \"\" {\n		o.pause()\n", "internal/upstream", "TestOrdersWhileFollowIsUnderWay", "",
	},
	{
		"reads only the orders from before its start", "internal/upstream/orders.go",
		"			o.kept.begin(old)\n", "			o.kept.begin(old)\n			continue\n", "internal/upstream", "TestOrdersWhileFollowIsUnderWay", "",
	},
	{
		"goes on while Run has ended", "internal/upstream/orders.go",
		" && !o.ended", "", "internal/upstream", "TestOrdersWhileNothingListens", "",
	},
	{
		"compares no position of orders", "internal/upstream/listen.go",
		"	if !paused && orders.Epoch != \"\" {", "	if _ = paused; false {", "", "TestLostOrderIsFound", "",
	},
	{
		"ignores orders that are gone", "internal/upstream/orders.go",
		"missed = missed || m.Prev > at.Offset; missed {", "missed = false; missed {", "", "TestOrdersThatAreGone", "",
	},
	{
		"ignores an order of a later version", "internal/upstream/orders.go",
		"		o.setUnread()\n		return false\n", "		return true\n", "", "TestOrderOfALaterVersion", "",
	},
	{
		"forgets resyncs of absent pages", "internal/upstream/kept.go",
		"return since.Offset < r.after[group]", "return false", "", "TestResyncOfAbsentPages", "",
	},
	{
		"believes no position after a resync", "internal/upstream/kept.go",
		"r.after[group] = at.Offset + 1", "r.after[group] = 1 << 62", "", "TestResyncOfAbsentPages", "",
	},
	{
		"knows no resyncs from before its start", "internal/upstream/kept.go",
		"		if order.Kind == OrderResync {", "		if false {", "", "TestResyncOfAbsentPages", "",
	},
	{
		"takes messages of another key", "internal/upstream/codec.go",
		"if c.key != nil && !hmac.Equal", "if false && !hmac.Equal", "internal/upstream", "TestCodec", "",
	},
	{
		"signs no stream", "internal/upstream/codec.go",
		"	mac.Write([]byte(stream))\n", "	_ = stream\n", "internal/upstream", "TestCodec", "",
	},
	{
		"drops what follows a refused batch", "internal/upstream/call.go",
		"	p.batches = slices.Clone(p.batches) // as in try\n",
		"	p.batches = slices.Clone(p.batches[:1])\n", "internal/upstream", "TestRefusedBatches", "",
	},
	{
		"forgets the groups of a refused resync", "internal/upstream/call.go",
		"			r.queue.addResyncs(again)\n", "			_ = again\n", "internal/upstream", "TestRefusedBatches", "",
	},
	{
		"puts more resyncs in place of a refused batch than a batch has messages", "internal/upstream/call.go",
		"groups, p.remote.batchMessages())", "groups, maxOverflowed)", "internal/upstream", "TestRefusedBatchKeepsItsNumber", "",
	},
	{
		"publishes again what was delivered in another epoch", "internal/upstream/call.go",
		"			p.try(began)\n", "			_ = began\n", "internal/upstream", "TestTriedBatches", "",
	},
	{
		"lets a broker refuse an order that was tried", "internal/upstream/call.go",
		"b.Tried.IsZero() && !own &&", "b.Tried.IsZero() && (!own || own) &&", "internal/upstream", "TestTriedBatches", "",
	},
	{
		"lets a broker refuse a resync that was tried", "internal/upstream/call.go",
		" && (i > 0 || !p.replaced) {", " {", "internal/upstream", "TestTriedBatches", "",
	},
	{
		"lets a signal pass that is too large", "internal/upstream/remote.go",
		"	if r.isTooLarge(&m) {", "	if false {", "internal/upstream", "TestLargeSignals", "",
	},
	{
		"counts the bytes of a signal without its signature", "internal/upstream/remote.go",
		"len(m.Payload)+r.codec.overhead() > limit", "len(m.Payload) > limit", "internal/upstream", "TestLargeSignals", "",
	},
	{
		"counts an unreadable message for each page that resumes", "internal/upstream/unread.go",
		"at.Epoch == m.Epoch && m.Offset <= at.Offset", "at.Epoch == m.Epoch && false", "internal/upstream", "TestUnreadMessagesAreCountedOnce", "",
	},
	{
		"makes one batch of many commits", "internal/upstream/queue.go",
		"			q.number++ // only this goroutine numbers\n", "", "internal/upstream", "TestManyBatchesACall", "",
	},
	{
		"waits in Flush for what comes later", "internal/upstream/queue.go",
		"for until := q.added; q.done < until; {", "for until := q.added; q.done < q.added; {", "", "TestFlush", "",
	},
	{
		"asks for groups that have ended", "internal/upstream/follower.go",
		"return o.gone() })\n		switch", "return false })\n		switch", "", "TestBrokerIsAway", "",
	},
	{
		"listens in a worker", "internal/upstream/remote.go",
		"	if len(batch) > 0 {\n		r.queue.add", "	if r.start(); len(batch) > 0 {\n		r.queue.add", "", "TestWorkerListensToNothing", "",
	},
	{
		"says live before it has caught up", "internal/upstream/health.go",
		"	if !paused && silent < staleAfter {", "	if _ = paused; silent < staleAfter {", "", "TestStatus", "",
	},
	{
		"takes a number again", "internal/history/sources.go",
		"if number <= known.taken {", "if number < known.taken {", "brokertest", "TestMemoryBroker", "",
	},
}
