package sqlbroker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// TestSettingsOfSessions lets hubs whose sessions have other settings share one era.
func TestSettingsOfSessions(t *testing.T) {
	for name, test := range map[string]struct {
		engine   int
		settings map[string]gorm.Dialector
	}{
		"PostgreSQL": {1, map[string]gorm.Dialector{
			"TimeZone":           postgres.Open(pg() + " TimeZone=Asia/Shanghai"),
			"DateStyle":          postgres.Open(pg() + " DateStyle=German"),
			"extra_float_digits": postgres.Open(pg() + " extra_float_digits=-3"),
			"bytea_output":       postgres.Open(pg() + " bytea_output=escape"),
			"simple protocol":    postgres.Open(pg() + " default_query_exec_mode=simple_protocol"),
		}},
		"MariaDB": {3, map[string]gorm.Dialector{
			"time_zone":            mysql.Open(maria() + "&time_zone=%27%2B08:00%27"),
			"ANSI":                 mysql.Open(maria() + "&sql_mode=ANSI"),
			"ORACLE":               mysql.Open(maria() + "&sql_mode=%27ORACLE,EMPTY_STRING_IS_NULL%27&interpolateParams=true"),
			"NO_BACKSLASH_ESCAPES": mysql.Open(maria() + "&sql_mode=NO_BACKSLASH_ESCAPES&interpolateParams=true"),
			"clientFoundRows":      mysql.Open(maria() + "&clientFoundRows=true"),
			"collation":            mysql.Open(maria() + "&collation=latin1_swedish_ci&interpolateParams=true"),
		}},
	} {
		e := engines()[test.engine]
		for setting, dialector := range test.settings {
			t.Run(name+"/"+setting, func(t *testing.T) {
				a := open(t, e, sqlbroker.Config{})
				b := peer(t, opened{db: connect(t, e, dialector, &gorm.Config{}), config: a.config})
				before := epoch(t, a)
				publish(t, b, 1, "", "'\\\"\x00\xff")
				assert.Equal(t, before, epoch(t, b))
				publish(t, a, 2, "", "'\\\"\x00\xff")
				assert.Equal(t, before, epoch(t, a))
				for _, reader := range []opened{a, b} {
					assertPayloads(t, reader, "", "'\\\"\x00\xff", "", "'\\\"\x00\xff")
				}
			})
		}
	}
}

// TestConfigsOfGORM lets programs configure GORM as they like.
func TestConfigsOfGORM(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		for name, c := range map[string]gorm.Config{
			"NoLowerCase":            {NamingStrategy: schema.NamingStrategy{NoLowerCase: true}},
			"NameReplacer":           {NamingStrategy: schema.NamingStrategy{NameReplacer: strings.NewReplacer("Seq", "Nr", "Server", "Host", "Name", "Key")}},
			"TablePrefix":            {NamingStrategy: schema.NamingStrategy{TablePrefix: "shop.", SingularTable: true}},
			"IdentifierMaxLength":    {NamingStrategy: schema.NamingStrategy{IdentifierMaxLength: 10}},
			"SkipDefaultTransaction": {SkipDefaultTransaction: true},
			"PrepareStmt":            {PrepareStmt: true},
			"CreateBatchSize":        {CreateBatchSize: 1},
			"AllowGlobalUpdate":      {AllowGlobalUpdate: true},
			"QueryFields":            {QueryFields: true},
			"TranslateError":         {TranslateError: true},
			"others":                 {FullSaveAssociations: true, DisableNestedTransaction: true, PropagateUnscoped: true, DefaultTransactionTimeout: time.Minute},
		} {
			t.Run(name, func(t *testing.T) {
				o := openWith(t, e, sqlbroker.Config{}, &c)
				other := peer(t, o)
				before := epoch(t, o)
				epoch(t, other)
				publish(t, o, 1, "a", "b")
				publish(t, other, 2, "c")
				publish(t, other, 2, "c")
				require.NoError(t, o.age(2*time.Minute))
				assert.Equal(t, before, epoch(t, o))
				at, err := o.Positions(t.Context(), []string{"g", "h"})
				require.NoError(t, err)
				assert.Equal(t, []broker.Position{{Epoch: before, Offset: 3}, {}}, at)
				assertPayloads(t, o, "a", "b", "c")
				require.NoError(t, o.Clean(t.Context()))
				number, err := o.Taken(t.Context(), "s")
				require.NoError(t, err)
				assert.EqualValues(t, 2, number)
				require.NoError(t, o.Renew(t.Context()))
				assert.NotEqual(t, before, epoch(t, o))
			})
		}
	})
}

func assertPayloads(t *testing.T, b broker.Broker, want ...string) {
	t.Helper()
	h, err := b.Read(t.Context(), "g", 0, 10)
	require.NoError(t, err)
	var got []string
	for _, m := range h.Messages {
		got = append(got, string(m.Payload))
	}
	assert.Equal(t, want, got)
}
