package writetest

import (
	"cmp"
	"strings"
)

// types are the words of the engines for what the tables need.
var types = map[string]map[string]string{
	"sqlite": {
		"SERIAL": "INTEGER PRIMARY KEY AUTOINCREMENT", "NOCASE": "TEXT COLLATE NOCASE", "TIME": "datetime", "MARKED(title)": "TEXT GENERATED ALWAYS AS (title || '!') STORED", "MADE": "TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(8))))",
	},
	"postgres": {
		"SERIAL": "BIGSERIAL PRIMARY KEY", "NOCASE": "TEXT COLLATE nocase", "TIME": "timestamptz(3)", "MARKED(title)": "TEXT GENERATED ALWAYS AS (title || '!') STORED", "MADE": "TEXT PRIMARY KEY DEFAULT gen_random_uuid()::text",
	},
	"mysql": {
		"SERIAL": "BIGINT PRIMARY KEY AUTO_INCREMENT", "NOCASE": "VARCHAR(50)", "TIME": "datetime(3)", "MARKED(title)": "VARCHAR(60) GENERATED ALWAYS AS (CONCAT(title, '!')) STORED", "MADE": "VARCHAR(50) PRIMARY KEY DEFAULT (uuid())",
	},
}

// tablesOf returns how to make tables, in words that each engine has.
func tablesOf(statements ...string) func(Engine) []string {
	return func(e Engine) []string {
		var made []string
		if e.SQL == "postgres" {
			made = append(made, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
		}
		for _, statement := range statements {
			for word, meaning := range types[e.SQL] {
				statement = strings.ReplaceAll(statement, word, meaning)
			}
			made = append(made, strings.ReplaceAll(statement, "FULLTEXT", cmp.Or(e.Fulltext, "fts4")))
		}
		return made
	}
}
