package sqlbroker_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

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
				b := peer(t, opened{db: connect(t, e, dialector), config: a.config})
				before := epoch(t, a)
				publish(t, b, 1, "", "'\\\"\x00\xff")
				assert.Equal(t, before, epoch(t, b))
				publish(t, a, 2, "", "'\\\"\x00\xff")
				assert.Equal(t, before, epoch(t, a))
				for _, reader := range []opened{a, b} {
					h, err := reader.Read(t.Context(), "g", 0, 10)
					assert.NoError(t, err)
					var payloads []string
					for _, m := range h.Messages {
						payloads = append(payloads, string(m.Payload))
					}
					assert.Equal(t, []string{"", "'\\\"\x00\xff", "", "'\\\"\x00\xff"}, payloads)
				}
			})
		}
	}
}
