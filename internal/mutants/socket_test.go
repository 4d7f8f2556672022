package mutants

const (
	schedules = "-schedules 2000"
	resumes   = "-resumes 3000"
)

// hubMutants are those of the root package's connections and requests.
var hubMutants = []mutant{
	{
		"sends no resync for an unrendered object", "publish.go",
		"ch.Object == (wire.Unrendered{})", "ch.Object == nil", "", "TestUnrenderedChanges", "",
	},
	{
		"holds replies behind a slow handler", "dispatch.go",
		"time.AfterFunc(maxHold, c.sendHeld)", "time.AfterFunc(time.Hour, c.sendHeld)", "", "TestRepliesDoNotWaitForSlowHandlers", "",
	},
	{
		"holds the replies after a slow handler", "dispatch.go",
		"if c.slow.Load() {", "if false {", "", "TestRepliesDoNotWaitForSlowHandlers", "",
	},
	{
		"forgets that a request has ended", "internal/lazyctx/lazyctx.go",
		"if c.err != nil { // it has ended already", "if false {", "internal/lazyctx", "TestContext", "",
	},
}

// fanoutMutants are those of packages fanout and history.
var fanoutMutants = []mutant{
	{
		"overtakes the backlog", "internal/fanout/writer.go",
		"busy, stopped := s.draining, s.stopped", "busy, stopped := false, s.stopped", "", "TestSchedules", schedules,
	},
	{
		"repeats the beginning of a frame", "internal/fanout/backlog.go",
		"bytes: f[written:], since", "bytes: f, since", "", "TestSchedules", schedules,
	},
	{
		"drops the bytes that the socket has not taken", "internal/fanout/writer.go",
		"if n == len(o.joined) {", "if n > 0 {", "", "TestSchedules", schedules,
	},
	{
		"discards the rest of a frame", "internal/fanout/backlog.go",
		"case c.rest || c.close || wanted(&c):", "case c.close || wanted(&c):", "", "TestSchedules", schedules,
	},
	{
		"broadcasts a mixed batch", "internal/fanout/worker.go",
		"ops[0].kind == opPost && sameList(ops)", "ops[0].kind == opPost", "", "TestSchedules", schedules,
	},
	{
		"writes all that waits at once", "internal/fanout/outgoing.go",
		"if o.size > 0 && size > segment {", "if false {", "internal/fanout", "TestBurstsLeaveFastReaders", "",
	},
	{
		"writes segments one after another", "internal/fanout/worker.go",
		"		if len(ops) > 0 {\n			w.pace(members)", "		if false {\n			w.pace(members)", "internal/fanout", "TestPace", "",
	},
	{
		"counts no batches", "internal/fanout/op.go",
		"			n += len(o.batch.ops[i].frame) + overhead", "			_ = i", "internal/fanout", "TestPendingIsBounded", "",
	},
	{
		"overflows once and for all", "internal/fanout/op.go",
		"l.overflowed = w.taken + 1", "l.overflowed = 1 << 60", "internal/fanout", "TestPendingIsBounded", "",
	},
	{
		"overflows again and again", "internal/fanout/op.go",
		"if l.overflowed > w.taken {", "if false {", "internal/fanout", "TestPendingIsBounded", "",
	},
	{
		"queues each pong", "internal/fanout/writer.go",
		"if s.draining || s.ponging {", "if false {", "internal/fanout", "TestOnePongWaits", "",
	},
	{
		"answers the first ping", "internal/fanout/writer.go",
		"	s.pong = f\n", "	if s.pong == nil {\n		s.pong = f\n	}\n", "internal/fanout", "TestOnePongWaits", "",
	},
	{
		"counts no overhead of a backlog", "internal/fanout/backlog.go",
		"return b.bytes + overhead*len(b.chunks)", "return b.bytes", "internal/fanout", "TestSendQueueCountsOverhead", "",
	},
	{
		"leaves no processor to others", "internal/fanout/runners.go",
		"return max(1, r.procs-1)", "return r.procs", "internal/fanout", "TestRunners", "",
	},
	{
		"starts no goroutine beside a busy one", "internal/fanout/runners.go",
		"min(len(r.running)+len(r.ready), r.limit())", "min(len(r.ready), r.limit())", "internal/fanout", "TestWorkersRunBesideABusyOne", "",
	},
	{
		"callers write to many", "internal/fanout/runners.go",
		"maxInline = 8", "maxInline = 9", "internal/fanout", "TestCallersWriteToFewMembers", "",
	},
	{
		"takes all processors in a crowd", "internal/fanout/runners.go",
		"w.crowded.Load() > 0 {", "w.crowded.Load() < 0 {", "internal/fanout", "TestRunners", "",
	},
	{
		"does not notice what comes during a round", "internal/fanout/worker.go",
		"len(ops) > 1 || len(w.pending) > 0", "len(ops) > 1", "internal/fanout", "TestWorkersNoteCrowds", "",
	},
	{
		"publishers write to several", "internal/fanout/runners.go",
		"maxPublisher = 1", "maxPublisher = 2", "internal/fanout", "TestPublishersWriteToOneMember", "",
	},
	{
		"publishers write to one of several members", "internal/fanout/runners.go",
		"len(r.ready) != 1 ||", "len(r.ready) == 0 ||", "internal/fanout", "TestPublishersWriteToOneMember", "",
	},
	{
		"publishers write although much comes at a time", "internal/fanout/worker.go",
		"return w.inline.Load() > 0 &&", "return", "internal/fanout", "TestManyCallersLeaveWritingToAGoroutine", "",
	},
	{
		"counts short frames for a member as one write", "internal/fanout/op.go",
		"w.run = before + len(o.frame) + overhead", "w.run = len(o.frame) + overhead", "internal/fanout", "TestCallersWaitForNoClient", "",
	},
	{
		"takes a pong for each segment", "internal/fanout/mixed.go",
		"n.frame, n.pong = m.writer.takePong(), false", "n.frame = m.writer.takePong()", "internal/fanout", "TestPongBehindAFullSegment", "",
	},
	{
		"callers write what is long", "internal/fanout/op.go",
		"members * (w.run/smallWrite - before/smallWrite)", "members * 0", "internal/fanout", "TestCallersWriteToFewMembers", "",
	},
	{
		"callers write although much comes at a time", "internal/fanout/worker.go",
		"w.inline.Store(0)", "w.inline.Store(1)", "internal/fanout", "TestManyCallersLeaveWritingToAGoroutine", "",
	},
	{
		"a goroutine never looks again", "internal/fanout/worker.go",
		"w.inline.Add(-1)", "w.inline.Add(0)", "internal/fanout", "TestManyCallersLeaveWritingToAGoroutine", "",
	},
	{
		"forgets what came during a round", "internal/fanout/worker.go",
		"	if w.announce(); w.state == idle &&", "	if w.state == idle &&", "internal/fanout", "TestCallersDoNotWaitForEachOther", "",
	},
	{
		"writes while the caller holds locks", "internal/fanout/group.go",
		"l.worker.offer(op{kind: opPost, list: l, frame: f})", "l.worker.offer(op{kind: opPost, list: l, frame: f})\n		l.worker.runners.work(maxInline)",
		"internal/fanout", "TestCallersWriteToFewMembers", "",
	},
	{
		"does not let the network in", "internal/sockio/yield_linux.go",
		"if (y.Poll || y.crowded > 0) && y.open() {", "if false {", "internal/sockio", "TestYieldLetsTheNetworkIn", "",
	},
	{
		"leaves a deadline", "internal/sockio/yield_linux.go",
		"if y.crowded--; y.crowded == 0 {", "if y.crowded--; y.crowded < 0 {", "internal/sockio", "TestYieldLeavesNoDeadline", "",
	},
	{
		"removes another member", "internal/fanout/group.go",
		"if int(place) < len(l.members) {", "if false {", "", "TestSchedules", schedules,
	},
	{
		"buffers nothing", "internal/fanout/pending.go",
		"	if s.incomplete {\n		return", "	if true {\n		return", "", "TestResume", resumes,
	},
	{
		"ignores gaps", "internal/fanout/sequencer.go",
		"before <= s.at.Offset && !s.filling", "!s.filling", "", "TestResume", resumes,
	},
	{
		"takes empty messages for changes", "internal/fanout/deliver.go",
		"g.sequencer.sent = p.at.Offset", "g.sequencer.sent = g.sequencer.at.Offset - 1", "", "TestResume", resumes,
	},
	{
		"counts a hole by offsets", "internal/fanout/gap.go",
		"posts[i].before > after ||", "posts[i].at.Offset != after+1 ||", "", "TestResume", resumes,
	},
	{
		"tells an old member that a change is missing", "internal/fanout/replay.go",
		"|| p.prev > c.sent {", "{", "", "TestResume", resumes,
	},
	{
		"forgets that nothing was sent in between", "internal/fanout/replay.go",
		"	s.group.sequencer.sent = min(s.group.sequencer.sent, max(c.sent, s.told))\n", "", "", "TestResume", resumes,
	},
	{
		"ignores duplicates", "internal/fanout/sequencer.go",
		"return duplicate", "return inOrder", "", "TestResume", resumes,
	},
	{
		"takes another epoch for the same", "internal/fanout/sequencer.go",
		"at.Epoch == s.at.Epoch && before <= s.at.Offset", "before <= s.at.Offset", "", "TestResume", resumes,
	},
	{
		"does not move on to a message in order", "internal/fanout/sequencer.go",
		"		s.at.Offset = at.Offset\n		return inOrder", "		return inOrder", "", "TestResume", resumes,
	},
	{
		"ignores the position of the broker", "internal/fanout/gap.go",
		"stream.Epoch == now.Epoch && stream.Offset > now.Offset {", "false {", "", "TestResume", resumes,
	},
	{
		"sends no resync where the history is not complete", "internal/fanout/gap.go",
		`		g.resync(h.Position, wire.ReasonEpoch)
	case h.Position.Offset < s.at.Offset || !contiguous(posts, s.at.Offset, h.Position.Offset):
		g.resync(h.Position, wire.ReasonTrimmed)`,
		`		s.at = h.Position
	case h.Position.Offset < s.at.Offset || !contiguous(posts, s.at.Offset, h.Position.Offset):
		s.at = h.Position`, "", "TestResume", resumes,
	},
	{
		"accepts an old epoch", "internal/fanout/replay.go",
		"case at.Epoch != since.Epoch, since.Offset", "case since.Offset", "", "TestResume", resumes,
	},
	{
		"locks the group while it reads", "internal/fanout/replay.go",
		"	s.takePosition()\n	s.outcome =", "	defer s.engine.groups.lock(s.group)()\n	s.outcome =", "", "TestResume", resumes,
	},
	{
		"replays a trimmed history", "internal/fanout/replay.go",
		"case !contiguous(posts, from, at.Offset):", "case false:", "", "TestResume", resumes,
	},
	{
		"sends the changes before the answer", "internal/fanout/subscription.go",
		"m.worker.queue(ops...)",
		"for i := range len(ops) / 2 {\nops[i], ops[len(ops)-1-i] = ops[len(ops)-1-i], ops[i]\n}\nm.worker.queue(ops...)", "", "TestResume", resumes,
	},
	{
		"sends news from the history to the subscriber alone", "internal/fanout/replay.go",
		"			s.engine.pass(s.group, &s.replay[i])", "", "", "TestResume", resumes,
	},
	{
		"takes the position after the snapshot", "internal/fanout/replay.go",
		"if s.snapshot.Position == s.base && !s.incomplete() {", "if s.takePosition(); !s.incomplete() {", "", "TestResume", resumes,
	},
	{
		"gives an epoch twice", "internal/history/stream.go",
		"rand.Text()[:epochSize]", `rand.Text()[:0] + "AAAAAAAAAAAAAAAAAAAA"`, "", "TestResume", resumes,
	},
	{
		"forgets the oldest kept message", "internal/history/stream.go",
		"from = min(offset-before,", "from = min(offset-before+1,", "", "TestResume", resumes,
	},
	{
		"reads snapshots for a crowd without a pause", "internal/snapshots/calls.go",
		"if l.joined < crowd || l.began.IsZero() {", "if true {", "internal/snapshots", "TestCrowdsShareCalls", "",
	},
	{
		"pauses longer than a client waits", "internal/snapshots/calls.go",
		"pause = min(pause, c.config.Timeout/pausesTimeout)", "pause += c.config.Timeout", "internal/snapshots", "TestPauseFitsIntoTimeout", "",
	},
	{
		"gives a shared snapshot the position of the client", "internal/snapshots/calls.go",
		"at = shared.position", "_ = shared.position", "internal/snapshots", "TestCrowdsShareCalls", "",
	},
}
