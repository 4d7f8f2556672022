package mutants

// orderMutants are those of the order of commits.
var orderMutants = []mutant{
	{
		"enters after COMMIT", "internal/capture/tx.go",
		"	t.publisher.order.enter(&t.turn, t.rows)\n", "", "internal/capture", "TestCommitOrder", "",
	},
	{
		"does not wait", "internal/capture/order.go",
		"	if len(t.earlier) == 0 {", "	if true {", "internal/capture", "TestCommitOrder", "",
	},
	{
		"a refused COMMIT leaves at once", "internal/capture/publisher.go",
		"	if t != nil {\n		p.order.wait(t)", "	if t != nil && o != RolledBack {\n		p.order.wait(t)", "internal/capture", "TestCommitOrder", "",
	},
	{
		"leaves before publishing", "internal/capture/publisher.go",
		"	if kept != nil {\n		kept.End(o)\n	}\n	overtaken := t != nil && p.order.leave(t)\n", "	overtaken := t != nil && p.order.leave(t)\n	if kept != nil {\n		kept.End(o)\n	}\n", "internal/capture", "TestCommitOrder", "",
	},
	{
		"leaves after the functions", "internal/capture/publisher.go",
		"	overtaken := t != nil && p.order.leave(t)\n	if kept != nil {\n		kept.Finish(overtaken)\n	}", "	if kept != nil {\n		kept.Finish(t != nil && t.overtaken)\n	}\n	if t != nil {\n		p.order.leave(t)\n	}", "internal/capture", "TestCommitOrder", "",
	},
	{
		"says nothing of being overtaken", "internal/capture/order.go",
		"	return t.overtaken", "	return false", "internal/capture", "TestCommitOrder", "",
	},
	{
		"only the first row counts", "internal/capture/order.go",
		"	for _, row := range rows {", "	for _, row := range rows[:1] {", "internal/capture", "TestCommitOrder", "",
	},
	{
		"does not tell tables apart", "internal/capture/order.go",
		"rowID{s.tableName, key.text}", "rowID{\"\", key.text}", "internal/capture", "TestCommitOrder", "",
	},
	{
		"waits for ever", "internal/capture/order.go",
		"time.NewTimer(maxWait)", "time.NewTimer(maxWait * 10000)", "internal/capture", "TestCommitOrder", "",
	},
	{
		"waits anew for each", "internal/capture/order.go",
		"	for _, earlier := range t.earlier {\n		select {", "	for _, earlier := range t.earlier {\n		late.Reset(maxWait)\n		select {", "internal/capture", "TestCommitOrder", "",
	},
	{
		"waits for one only", "internal/capture/order.go",
		"	for _, earlier := range t.earlier {\n		select {", "	for _, earlier := range t.earlier[:1] {\n		select {", "internal/capture", "TestCommitOrder", "",
	},
	{
		"stays in the map", "internal/capture/order.go",
		"		if o.last[row] == t {", "		if o.last[row] != t {", "internal/capture", "TestCommitOrder", "",
	},
	{
		"takes the place of a later one along", "internal/capture/order.go",
		"		if o.last[row] == t {\n", "		{\n", "internal/capture", "TestCommitOrder", "",
	},
	{
		"does not take the place", "internal/capture/order.go",
		"		o.last[row] = t\n", "		if o.last[row] == nil {\n			o.last[row] = t\n		}\n", "internal/capture", "TestCommitOrder", "",
	},
	{
		"overtakes only whom it waits for", "internal/capture/order.go",
		"			o.overtake(t.earlier)\n		}", "		}", "internal/capture", "TestCommitOrder", "",
	},
	{
		"unknown rows wait for nobody", "internal/capture/order.go",
		"		if row == (rowID{}) {\n			for", "		if false {\n			for", "internal/capture", "TestCommitOrder", "",
	},
	{
		"nobody waits for unknown rows", "internal/capture/order.go",
		"	t.follow(o.last[rowID{}])\n", "", "internal/capture", "TestCommitOrder", "",
	},
	{
		"unknown rows take no place", "internal/capture/order.go",
		"	if s.Unknown != nil || s.rowless ||", "	if s.rowless ||", "internal/capture", "TestCommitOrder", "",
	},
	{
		"does not leave after a panic", "internal/capture/tx.go",
		"	defer func() {\n		kept, outcome := t.finish(outcome)\n		t.publisher.end(kept, &t.turn, outcome)\n	}()\n	stored, err := t.store()\n	if err != nil {\n		_ = t.Tx.Rollback()\n		return err\n	}\n	if !stored {\n		t.enterOrder()\n	}\n	wasDone := t.ctx.Err() != nil\n	err = t.Tx.Commit()\n", "	stored, err := t.store()\n	if err != nil {\n		_ = t.Tx.Rollback()\n		return err\n	}\n	if !stored {\n		t.enterOrder()\n	}\n	wasDone := t.ctx.Err() != nil\n	err = t.Tx.Commit()\n	defer func() {\n		kept, outcome := t.finish(outcome)\n		t.publisher.end(kept, &t.turn, outcome)\n	}()\n", "internal/capture", "TestCommitOrder", "",
	},
	{
		"a second COMMIT ends the turn", "internal/capture/tx.go",
		"		return sql.ErrTxDone\n	}\n	outcome", "		t.publisher.order.leave(&t.turn)\n		return sql.ErrTxDone\n	}\n	outcome", "internal/capture", "TestCommitOrder", "",
	},
	{
		"enters what was rolled back", "internal/capture/tx.go",
		"	t.rows = t.rows[:t.savepoints[i].rows]\n", "", "internal/capture", "TestCommitOrder", "",
	},
	{
		"waits for what was overtaken", "internal/capture/order.go",
		"			o.remove(t)\n			o.overtake", "			o.overtake", "internal/capture", "TestCommitOrder", "",
	},
	{
		"takes an alias for another table", "internal/capture/order.go",
		"	name := tableName(stmt)\n", "	name := stmt.Table\n", "internal/capture", "TestOrderNames", "",
	},
}
