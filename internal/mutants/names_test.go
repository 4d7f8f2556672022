package mutants

// nameMutants are those of the names of groups, and of pages.
var nameMutants = []mutant{
	{
		"does not escape the byte that follows", "internal/wire/pattern.go",
		"		return literal[0]", "		return 0", "internal/wire", "FuzzFormat", "",
	},
	{
		"does not escape the escape", "internal/wire/escape.go",
		"if c == escape || c == avoid", "if c == avoid", "internal/wire", "FuzzFormat", "",
	},
	{
		"takes an escaped byte for three", "internal/wire/kind.go",
		"n += unit(s[n:])", "n++", "internal/wire", "FuzzFormat", "",
	},
	{
		"returns values escaped", "internal/wire/pattern.go",
		"value, ok := unescape(escaped)", "value, ok := escaped, true", "internal/wire", "FuzzFormat", "",
	},
	{
		"reads what is no UTF-8", "internal/wire/escape.go",
		"return string(value), utf8.Valid(value)", "return string(value), utf8.Valid(value) || true", "", "TestGroupNames", "",
	},
	{
		"reads what is no escape", "internal/wire/escape.go",
		"			return \"\", false\n", "			value = append(value, s[0])\n", "", "TestGroupNames", "",
	},
	{
		"reads lower-case escapes", "internal/wire/escape.go",
		"isDigit(c) || 'A' <= c && c <= 'F' }", "isDigit(c) || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f' }", "", "TestGroupNames", "",
	},
	{
		"does not escape the colon in a part", "internal/wire/pattern.go",
		"appendEscaped(b, part, p.avoid(i), ':')", "appendEscaped(b, part, p.avoid(i), 0)", "internal/wire", "FuzzFormatParts", "",
	},
	{
		"lets a colon follow several columns", "internal/wire/pattern.go",
		"case p.avoid(i) == ':':", "case false:", "internal/wire", "TestParts", "",
	},
	{
		"lets an escape follow a placeholder", "internal/wire/pattern.go",
		"case literal != \"\" && literal[0] == escape:", "case false:", "", "TestGroupNames", "",
	},
	{
		"lets a digit follow an integer", "internal/wire/pattern.go",
		"isDigit(literal[0]) && p.placeholders[before].kind == integer:", "false:", "", "TestGroupNames", "",
	},
	{
		"formats values without placeholder", "internal/wire/pattern.go",
		"== name }) {\n			return \"\", fmt.Errorf(\"the pattern", "== name }) && false {\n			return \"\", fmt.Errorf(\"the pattern", "", "TestGroupNames", "",
	},
	{
		"formats an empty value", "internal/wire/pattern.go",
		"case value == \"\":", "case false:", "", "TestGroupNames", "",
	},
	{
		"reads several spellings of an integer", "internal/wire/kind.go",
		"return strconv.FormatInt(n, 10) == s", "return n == n", "", "TestGroupNames", "",
	},
	{
		"matches any text for a UUID", "internal/wire/kind.go",
		"		return isUUID(s)", "		return s != \"\"", "", "TestGroupNames", "",
	},
	{
		"takes patterns of other types for equal", "internal/wire/pattern.go",
		"return a.kind == b.kind", "return true", "", "TestPatternsThatMatchOneName", "",
	},
	{
		"misses that two patterns match one name", "internal/wire/overlap.go",
		"		if o.repeats {", "		if false {", "internal/wire", "TestOverlap", "",
	},
	{
		"resyncs only names that can be read", "receiver.go",
		"p.Matches(wire.GroupOf(stream))", "func() bool { _, ok := p.Match(wire.GroupOf(stream)); return ok }()", "", "TestResyncReachesAnyName", "",
	},
	{
		"the default mapping does not escape", "handlers/groupof.go",
		"string(wire.AppendEscaped([]byte(name+\"-\"), key))", "name + \"-\" + key + string(wire.AppendEscaped(nil, \"\"))", "", "TestGroupOfEscapesTheID", "",
	},
	{
		"an empty column is in a group", "internal/notify/template.go",
		"value == \"\" && err == nil {", "false {", "internal/notify", "TestTemplatesMakeTheNamesOfTheTable", "",
	},
	{
		"marks a resync", "internal/wire/origin.go",
		`if ch.Origin == "" && ch.Type != Resync {`, `if ch.Origin == "" {`, "", "TestOriginsOfWrites", "",
	},
	{
		"marks over an origin", "internal/wire/origin.go",
		`if ch.Origin == "" && ch.Type != Resync {`, `if ch.Type != Resync {`, "", "TestOriginsOfWrites", "",
	},
	{
		"a net effect has the last origin", "internal/wire/origin.go",
		"	case a == b:\n		return a", "	case true:\n		return b", "", "TestOriginsOfWrites", "",
	},
	{
		"a net effect is skipped in part", "internal/wire/origin.go",
		"	case PageOf(a) == PageOf(b):\n		return PageOf(a)", "	case PageOf(a) == PageOf(b):\n		return b", "", "TestOriginsOfWrites", "",
	},
	{
		"accepts any id of a page", "internal/wire/origin.go",
		"	if page == \"\" || len(page) > maxOrigin || !fitsGroup(page) ||", "	if", "", "TestMarkOrigin", "",
	},
	{
		"sends no origin", "internal/wire/change.go",
		`if ch.Origin != "" {`, "if false {", "", "TestConversations", "",
	},
	{
		"sends to the others without the mark", "conn.go",
		"wire.SkippedOrigin(c.wanted().page)", `wire.SkippedOrigin("")`, "", "TestConversations", "",
	},
	{
		"a handler has no origin", "conn.go",
		"if page := (*Conn)(c).wanted().page; page != \"\" &&", "if page := (*Conn)(c).wanted().page; false &&", "", "TestOriginOfHandlers", "",
	},
	{
		"a commit has the origin of its begin", "internal/notify/captured.go",
		"OriginOf(s.Context)", "OriginOf(t.ctx)", "", "TestOriginsOfWrites", "",
	},
}

// viewMutants are those of the views of groups.
var viewMutants = []mutant{
	{
		"publishes a change of one view to all", "publish.go",
		"	if ch.View == \"\" {\n		return p.encodeFor(", "	if true {\n		return p.encodeFor(", "", "TestAllowViews", "",
	},
	{
		"a change goes to the first view only", "publish.go",
		"p.hub.streamsOf(ch.Group)...)", "p.hub.streamsOf(ch.Group)[0])", "", "TestAllowViews", "",
	},
	{
		"a stored change reaches no view", "publish.go",
		"range h.streamsOf(m.Stream) {", "range []string{m.Stream} {", "", "TestViewsOfSeveralHubs", "",
	},
	{
		"a stored change forgets its view", "publish.go",
		"broker.Message{Stream: ch.Stream(), Payload: payload}", "broker.Message{Stream: ch.Group, Payload: payload}", "", "TestViewsOfSeveralHubs", "",
	},
	{
		"a message reaches no view", "hub.go",
		"	if h.viewsOf(group) == nil {\n		return h.upstream.Signal(", "	if true {\n		return h.upstream.Signal(", "", "TestAllowViews", "",
	},
	{
		"a resync carries the name of the stream", "receiver.go",
		"wire.Change{Group: wire.GroupOf(stream), Type: Resync", "wire.Change{Group: stream, Type: Resync", "", "TestAllowViews", "",
	},
	{
		"a resync by pattern reaches no view", "receiver.go",
		"p.Matches(wire.GroupOf(stream))", "p.Matches(stream) && stream == wire.GroupOf(stream)", "", "TestAllowViews", "",
	},
	{
		"admits to any view", "access.go",
		"if err == nil && !slices.Contains(r.views, view) {", "if false {", "", "TestRefusalsOfViews", "",
	},
	{
		"takes the view of an earlier decision", "access.go",
		"p.stream != \"\" && p.stream != stream {", "false {", "", "TestViewChangesDuringASnapshot", "",
	},
	{
		"a recheck does not see another view", "access.go",
		"case err == nil && now != stream:", "case err == nil && now == \"\":", "", "TestRecheckChangesTheView", "",
	},
	{
		"a new view goes on beside the old one", "access.go",
		"s.member.Revoke(access.Exactly(stream), func", "s.member.Revoke(access.Exactly(\"\"), func", "", "TestRecheckChangesTheView", "",
	},
	{
		"a member of another view does not leave it", "subscribe.go",
		"		if other != stream {", "		if false {", "", "TestSubscribingAgainChangesTheView", "",
	},
	{
		"a refusal leaves the view", "subscribe.go",
		"return wire.GroupOf(stream) == group }", "return stream == group }", "", "TestSubscribingAgainChangesTheView", "",
	},
	{
		"unsubscribing leaves the view", "conn.go",
		"	if c.hub.viewsOf(group) == nil {\n		c.member.Leave", "	if true {\n		c.member.Leave", "", "TestUnsubscribeLeavesAView", "",
	},
	{
		"a position of one view is one of all", "internal/wire/view.go",
		"sha256.Sum256([]byte(view))", "sha256.Sum256([]byte(view[:0]))", "", "TestPositionsOfViews", "",
	},
	{
		"snapshots of views are shared", "snapshot.go",
		"snapshots.Key{Group: group, View: view}", "snapshots.Key{Group: group}", "", "TestSnapshotsOfViewsAreNotShared", "",
	},
	{
		"shows a hidden row", "internal/notify/captured.go",
		"case e.change.View != \"\" && object.IsNull():", "case false:", "", "TestPagesOfViews", "",
	},
	{
		"keeps a row that is hidden now", "internal/notify/captured.go",
		"	e.hidden = e.op == capture.Create", "	e.hidden = true", "", "TestPagesOfViews", "",
	},
	{
		"tells a view of columns that it does not get", "internal/notify/captured.go",
		"	if e.change.View != \"\" { //", "	if false { //", "", "TestPagesOfViews", "",
	},
	{
		"a net effect forgets a hidden create", "internal/notify/captured.go",
		"case e.hidden && !net, ", "case e.hidden, ", "", "TestHiddenRows", "",
	},
	{
		"a net effect sends a hidden create", "internal/notify/neteffect.go",
		" && !net.hidden", "", "", "TestHiddenRows", "",
	},
	{
		"makes the payload of a view once for all", "internal/notify/captured.go",
		"s.payload(e.op, e.fields, e.change.View, key, row)", "s.payload(e.op, e.fields, \"staff\", key, row)", "", "TestPagesOfViews", "",
	},
	{
		"counts the rows of all views together", "internal/notify/compose.go",
		"		group := e.change.Stream()\n		if e.call != nil || e.isResync() {", "		group := e.change.Group\n		if e.call != nil || e.isResync() {", "", "TestRowsOfViews", "",
	},
	{
		"a resync for too many rows is for all views", "internal/notify/compose.go",
		"e.change = e.change.Resync(wire.ReasonRows)", "e.change = wire.NewResync(e.change.Group, wire.ReasonRows)", "", "TestRowsOfViews", "",
	},
}
