package writetest

import (
	"reflect"
	"strings"

	"gorm.io/gorm"
)

// harmless are the methods of GORM that write no rows themselves: they read, build
// a statement, or begin and end transactions.
var harmless = map[string]string{
	"DB": `AddError AfterInitialize Apply Assign Association Attrs AutoMigrate Begin Callback Clauses Commit Connection Count DB Debug
		Distinct Explain Find FindInBatches First FirstOrInit Get Group Having Initialize InnerJoins InstanceGet InstanceSet Joins Last Limit
		MapColumns Migrator Model Name Not Offset Omit Or Order Pluck Preload QuoteTo BindVarTo DataTypeOf DefaultValueOf Rollback RollbackTo
		Row Rows SavePoint Scan ScanRows Scopes Select Session Set SetupJoinTable Table Take ToSQL Transaction Translate Unscoped Use Where WithContext`,
	"Association": `Count Find Unscoped`,
	"G": `Build Count Distinct Find FindInBatches First Group Having Joins Last Limit MapColumns Not Offset Omit Or Order Preload
		Row Rows Scan Scopes Select Set Table Take Where`,
	"G.Set": ``,
}

// surfaces are the types by which a program writes.
var surfaces = map[string][]reflect.Type{
	"DB":          {reflect.TypeFor[*gorm.DB]()},
	"Association": {reflect.TypeFor[*gorm.Association]()},
	"G":           {reflect.TypeFor[gorm.Interface[Task]](), reflect.TypeFor[gorm.ChainInterface[Task]]()},
	"G.Set":       {reflect.TypeFor[gorm.SetCreateOrUpdateInterface[Task]](), reflect.TypeFor[gorm.SetUpdateOnlyInterface[Task]]()},
}

// unknownMethods lists the methods of GORM that are neither in the catalogue nor
// known to write nothing.
func unknownMethods() (unknown []string) {
	known := map[string]bool{}
	for _, w := range all() {
		known[w.via] = true
	}
	for surface, methods := range harmless {
		for _, method := range strings.Fields(methods) {
			known[surface+"."+method] = true
		}
	}
	for surface, types := range surfaces {
		for _, t := range types {
			for i := range t.NumMethod() {
				if name := surface + "." + t.Method(i).Name; !known[name] {
					unknown = append(unknown, name)
				}
			}
		}
	}
	return unknown
}
