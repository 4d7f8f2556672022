package mutants

const programs = "-programs 1000"

// databaseMutants are those of packages capture and notify.
var databaseMutants = []mutant{
	{
		"writes a key as its text", "internal/capture/key.go",
		"if err == nil && encode != nil {", "if false {", "internal/capture", "TestKeysInJSON", "",
	},
	{
		"overlooks that a key is to be a string", "internal/capture/encode.go",
		"isText && isPlain(t) && !isQuoted(f.StructField) {", "isText && isPlain(t) {", "", "TestKeysOfObjects", "",
	},
	{
		"compares keys as they are in JSON", "internal/capture/key.go",
		"if !k.isNumber || !other.isNumber {", "if k.json[0] == '\"' || other.json[0] == '\"' || k.json[0] == '[' {", "internal/capture", "TestKeysInJSON", "",
	},
	{
		"commits what an outbox could not store", "internal/capture/tx.go",
		"		_ = t.Tx.Rollback()\n		return err\n", "		err = nil\n", ".", "TestOutboxRefuses", "",
	},
	{
		"leaves a payload that fails out of the outbox", "internal/notify/captured.go",
		"return s.tx.outbox != nil || errors.As", "return errors.As", ".", "TestOutbox", "",
	},
	{
		"lets a resync without an object stop an outbox", "publish.go",
		"h.checkedObject(m.Stream, m.Payload)", "m.Payload", ".", "TestUnreadableBatches", "",
	},
	{
		"sends before commit", "internal/capture/callbacks.go",
		"		tx.wrote(s)\n		kept.Captured(s)\n", "		kept = p.consumer.Begin(s.Context, nil)\n		kept.Captured(s)\n		p.publish(kept, nil)\n", "internal/writetest", "TestPrograms", programs,
	},
	{
		"ignores savepoints", "internal/capture/savepoint.go",
		`if verb == "" {`, `if verb != "-" {`, "internal/writetest", "TestPrograms", programs,
	},
	{
		"sends on a failed COMMIT", "internal/capture/tx.go",
		"case err == nil:\n		outcome = Committed", "case err == nil || !wasDone:\n		outcome = Committed", "internal/writetest", "TestPrograms", programs,
	},
	{
		"sends although the context was cancelled", "internal/capture/tx.go",
		"case !wasDone && !errors.Is(err, sql.ErrTxDone) &&", "case (wasDone || !answered(err)) && !errors.Is(err, sql.ErrTxDone) || false &&", "internal/writetest", "TestPrograms", programs,
	},
	{
		"ROLLBACK TO gives up the savepoint", "internal/capture/tx.go",
		"t.savepoints = t.savepoints[:i+1]", "t.savepoints = t.savepoints[:i]", "internal/writetest", "TestPrograms", programs,
	},
	{
		"RELEASE is not seen", "internal/capture/savepoint.go",
		`strings.EqualFold(first, "RELEASE")`, `strings.EqualFold(first, "RELEASED")`, "internal/writetest", "TestPrograms", programs,
	},
	{
		"the oldest savepoint of a name counts", "internal/capture/tx.go",
		"for i := len(t.savepoints) - 1; i >= 0; i-- {", "for i := range t.savepoints {", "internal/writetest", "TestPrograms", programs,
	},
	{
		"names a late method again and again", "internal/notify/watch.go",
		"case c.logged:", "case false:", "internal/notify", "TestManySlowMethods", "",
	},
	{
		"looks at late methods after the first one only", "internal/notify/watch.go",
		"next, w.timed = min(next, left), true", "next = min(next, left)", "internal/notify", "TestManySlowMethods", "",
	},
	{
		"knows columns in one spelling only", "internal/capture/table.go",
		"if strings.EqualFold(c.Name, last) {", "if c.Name == last {", ".", "TestColumnsSpelledOtherwise", "",
	},
	{
		"shows the half-filled struct", "internal/notify/model.go",
		"return m.hasMethods() ||", "return", "internal/writetest", "TestPrograms", programs,
	},
	{
		"takes an existing row for a created one", "internal/capture/upserted.go",
		"byKey[rows[i].Key.text] =", `byKey[""] =`, "internal/writetest", "TestPrograms", programs,
	},
	{
		"takes an update for nothing", "internal/capture/upserted.go",
		"case u.nothing ||", "case !u.nothing ||", "internal/writetest", "TestPrograms", programs,
	},
	{
		"takes what a create did not return for zero", "internal/capture/created.go",
		"&& !isReturned(field)", "&& isReturned(field)", ".", "TestCreateReturning", "",
	},
	{
		"sends a created row as the type that it had", "internal/capture/created.go",
		"made.next(t.schema.ModelType)", "made.next(value.Type())", ".", "TestCreateOtherType", "",
	},
	{
		"takes INSERT IGNORE for a plain create", "internal/capture/upsert.go",
		"case strings.Contains(modifier, \"IGNORE\"):", "case strings.Contains(modifier, \"IGNORES\"):", ".", "TestCreateMeets", "",
	},
	{
		"takes INSERT OR REPLACE for a plain create", "internal/capture/upsert.go",
		"strings.Contains(modifier, \"REPLACE\")", "strings.Contains(modifier, \"REPLACES\")", ".", "TestCreateMeets", "",
	},
	{
		"looks at ON CONFLICT before it is complete", "internal/capture/conn.go",
		"case meets || len(stmt.Schema.CreateClauses) > 0:", "case meets:", ".", "TestCreateMeets", "",
	},
	{
		"takes an upsert that sets nothing for an update", "internal/capture/upsert.go",
		"m.DoNothing || setsNothing(m.DoUpdates)", "setsNothing(m.DoUpdates)", ".", "TestCreateMeets", "",
	},
	{
		"keeps a row whose key an upsert has set", "internal/capture/upserted.go",
		"s.Rows = sortRows(append(s.Rows, gone...))", "s.Rows = sortRows(s.Rows)", ".", "TestCreateMeets", "",
	},
	{
		"takes a row with another key for deleted only", "internal/capture/upserted.go",
		"case w.dialect.xmax || !u.follows:", "case w.dialect.xmax:", ".", "TestCreateMeets", "",
	},
	{
		"takes all elements of INSERT IGNORE for rows", "internal/capture/upserted.go",
		"if u.leaves && w.db.RowsAffected", "if !u.leaves && w.db.RowsAffected", ".", "TestCreateMeets", "",
	},
	{
		"announces what changed nothing", "internal/capture/callbacks.go",
		"db.RowsAffected != 0 || isView", "true || isView", "internal/writetest", "TestCatalogue", programs,
	},
	{
		"leaves moved rows in the old group", "internal/capture/plan.go",
		"(f.hides || f.before)", "f.hides", "internal/writetest", "TestPrograms", programs,
	},
	{
		"does not see what comes back", "internal/capture/plan.go",
		"(f.hides || f.before)", "f.before", "internal/writetest", "TestPrograms", programs,
	},
	{
		"shows what is soft-deleted", "internal/capture/table.go",
		"if isZero == slices.Contains(t.cleared, field) {", "if false {", "internal/writetest", "TestPrograms", programs,
	},
	{
		"leaves rows in the order of the database", "internal/capture/changed.go",
		"s.Rows = sortRows(rows)", "s.Rows = rows", "internal/writetest", "TestCatalogue", programs,
	},
	{
		"believes the spelling in memory", "internal/capture/plan.go",
		"f.keyed && f.exactKey && !p.whole", "f.keyed && !p.whole", "internal/writetest", "TestOracle", programs,
	},
	{
		"believes the indexes of the model", "internal/capture/catalog.go",
		"l.unique = append(l.unique, set)", "_ = append(l.unique, set)", "internal/writetest", "TestOracle", programs,
	},
	{
		"reads what is never read", "internal/capture/layout.go",
		"if c != nil && field.Readable {", "if c != nil {", "internal/writetest", "TestOracle", programs,
	},
	{
		"takes a narrowing clause for a soft delete", "internal/capture/table.go",
		"soft = soft || sets ||", "soft = true || sets ||", "internal/writetest", "TestOracle", programs,
	},
	{
		"does not try what Scan refuses", "internal/capture/fidelity.go",
		"custom = scanned", "custom = exact", "internal/writetest", "TestOracle", programs,
	},
	{
		"believes the key beside an OR", "internal/capture/condition.go",
		"&& allHold(stmt)", "", ".", "TestConditionsBesideKey", "",
	},
	{
		"sees no OR in a text", "internal/capture/condition.go",
		"	case clause.Expr:\n		return hasAlternative(condition.SQL)", "	case clause.Expr:\n		return false", ".", "TestConditionsBesideKey", "",
	},
	{
		"believes the key beside a given SET", "internal/capture/condition.go",
		"w.op == Update && w.givenSet ||", "", ".", "TestConditionsBesideKey", "",
	},
	{
		"lets a comment hide RETURNING", "internal/capture/dialect.go",
		`"\nRETURNING "`, `" RETURNING "`, ".", "TestConditionsBesideKey", "",
	},
	{
		"takes a raw name for one column", "internal/capture/assigned.go",
		"return assignment.Column.Raw &&", "return false && assignment.Column.Raw &&", ".", "TestColumnsSpelledOtherwise", "",
	},
	{
		"folds savepoints in quotes", "internal/capture/savepoint.go",
		"case !quoted || !capitalsCount:", "default:", "internal/capture", "TestSavepointName", "",
	},
	{
		"ends a savepoint at a doubled quote", "internal/capture/savepoint.go",
		"case closing != ']' && i+1 < len(text)", "case closing == ']' && i+1 < len(text)", "internal/capture", "TestSavepointName", "",
	},
	{
		"takes the program's time for GORM's", "internal/capture/facts.go",
		"!w.givenSet && !stmt.SkipHooks &&", "!w.givenSet &&", ".", "TestNamesOfAutomaticColumns", "",
	},
	{
		"takes a Valuer without Scan for exact", "internal/capture/fidelity.go",
		"custom = lost", "custom = exact", ".", "TestValuesThatTypesWriteOtherwise", "",
	},
	{
		"believes a key that its type writes otherwise", "internal/capture/fidelity.go",
		"if isValuer(t) || p.field.Serializer != nil {", "if p.field.Serializer != nil {", ".", "TestValuesThatTypesWriteOtherwise", "",
	},
	{
		"tells a soft delete with what it has set", "internal/capture/plan.go",
		"&& !f.rereads && !f.rewrites", "&& !f.rereads", ".", "TestKindsOfSoftDelete", "",
	},
	{
		"hides what has its flag set", "internal/capture/table.go",
		"isZero == slices.Contains(t.cleared, field)", "!isZero", ".", "TestKindsOfSoftDelete", "",
	},
}
