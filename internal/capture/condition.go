package capture

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// meetsOneKey reports whether the statement can meet only the one row whose key is in
// memory. GORM adds the key to the conditions, but not to those of an update whose SET is
// the program's.
func (w *statementConn) meetsOneKey() bool {
	stmt := w.db.Statement
	if w.op == Update && w.givenSet || stmt.ReflectValue.Kind() != reflect.Struct {
		return false
	}
	return hasKey(stmt.Context, stmt.Schema, stmt.ReflectValue) && allHold(stmt)
}

// hasKey reports whether every part of the row's primary key is set in memory.
func hasKey(ctx context.Context, s *schema.Schema, row reflect.Value) bool {
	for _, field := range s.PrimaryFields {
		if value := fieldOf(field, row); !value.IsValid() || value.IsZero() {
			return false
		}
	}
	return len(s.PrimaryFields) > 0
}

// allHold reports whether each condition of the statement holds for every row that it
// meets. It returns false where it cannot tell.
func allHold(stmt *gorm.Statement) bool {
	where, _ := stmt.Clauses["WHERE"].Expression.(clause.Where)
	return !slices.ContainsFunc(where.Exprs, mayBeAlternative)
}

// mayBeAlternative reports whether the conditions beside this one need not hold. GORM puts
// parentheses only around texts that contain " OR " or " AND ".
func mayBeAlternative(condition clause.Expression) bool {
	switch condition := condition.(type) {
	case clause.Eq, clause.IN, clause.Neq, clause.Gt, clause.Gte, clause.Lt, clause.Lte, clause.Like:
		return false
	case clause.Expr:
		return hasAlternative(condition.SQL)
	case clause.NamedExpr:
		return hasAlternative(condition.SQL)
	case clause.AndConditions: // soft deletes wrap the key together with the program's conditions
		return slices.ContainsFunc(condition.Exprs, mayBeAlternative)
	case clause.NotConditions:
		return slices.ContainsFunc(condition.Exprs, mayBeAlternative)
	}
	return true
}

// hasAlternative reports whether a text may contain an OR, in any spelling, or a comment
// that hides what follows it.
func hasAlternative(text string) bool {
	if strings.ContainsAny(text, "|#") || strings.Contains(text, "--") {
		return true
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && r != '_' }) { // also "1or"
		if strings.EqualFold(word, "OR") || strings.EqualFold(word, "XOR") {
			return true
		}
	}
	return false
}
