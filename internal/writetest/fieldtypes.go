package writetest

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// State is a text that is only "open" or "done".
type State string

// Scan implements sql.Scanner.
func (s *State) Scan(value any) error {
	text := fmt.Sprintf("%s", value)
	if text != "open" && text != "done" {
		return errors.New("no state")
	}
	*s = State(text)
	return nil
}

// Value implements driver.Valuer.
func (s State) Value() (driver.Value, error) { return string(s), nil }

// Decimal is a number as text.
type Decimal string

// Scan implements sql.Scanner.
func (d *Decimal) Scan(value any) error {
	if bytes, ok := value.([]byte); ok {
		value = string(bytes)
	}
	*d = Decimal(fmt.Sprint(value))
	return nil
}

// Value implements driver.Valuer.
func (d Decimal) Value() (driver.Value, error) { return string(d), nil }

// GormDataType implements schema.GormDataTypeInterface.
func (Decimal) GormDataType() string { return "numeric(10,2)" }

// Tenant narrows updates and deletes to one tenant.
type Tenant string

const ownTenant = "a"

// UpdateClauses implements schema.UpdateClausesInterface.
func (Tenant) UpdateClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{ofTenant{f}}
}

// DeleteClauses implements schema.DeleteClausesInterface.
func (Tenant) DeleteClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{ofTenant{f}}
}

type ofTenant struct{ field *schema.Field }

// Name implements clause.Interface.
func (ofTenant) Name() string { return "" }

// Build implements clause.Interface.
func (ofTenant) Build(clause.Builder) {}

// MergeClause implements clause.Interface.
func (ofTenant) MergeClause(*clause.Clause) {}

// ModifyStatement implements gorm.StatementModifier.
func (o ofTenant) ModifyStatement(stmt *gorm.Statement) {
	if stmt.Unscoped {
		return
	}
	stmt.AddClause(clause.Where{Exprs: []clause.Expression{
		clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: o.field.DBName}, Value: ownTenant},
	}})
}
