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
