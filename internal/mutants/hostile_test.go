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
		"			hijacked.abort()\n			h.conns.release()", "			hijacked.abort()", "", "TestFailingHijack", "",
	},
}
