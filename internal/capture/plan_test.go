package capture

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPlan(t *testing.T) {
	returning := dialect{known: true, update: true, delete: true, insert: true}
	none := dialect{known: true, duplicate: true}
	mixed := dialect{known: true, delete: true, duplicate: true} // MariaDB
	for _, test := range []struct {
		name    string
		facts   facts
		want    plan
		spelled bool // the database may spell the key otherwise
	}{
		{
			"a create that is not as in memory",
			facts{op: Create, dialect: returning, wants: Columns, hasKey: true, differs: true},
			plan{readsAfter: true, whole: true},
			false,
		},
		{
			"an update of no interest",
			facts{op: Update, dialect: returning, wants: Nothing, hasKey: true},
			plan{skip: true},
			false,
		},
		{
			"an update of no interest that may move rows",
			facts{op: Update, dialect: returning, wants: Nothing, before: true, hasKey: true},
			plan{returning: true, readsBefore: true, compares: true, whole: true},
			false,
		},
		{
			"an update by key",
			facts{op: Update, dialect: returning, wants: Keys, hasKey: true, keyed: true},
			plan{},
			false,
		},
		{
			"an update by key, columns wanted",
			facts{op: Update, dialect: returning, wants: Columns, hasKey: true, keyed: true},
			plan{returning: true, whole: true},
			false,
		},
		{
			"an update by key, columns wanted, without RETURNING",
			facts{op: Update, dialect: none, wants: Columns, hasKey: true, keyed: true},
			plan{readsAfter: true, whole: true},
			false,
		},
		{
			"an update by condition",
			facts{op: Update, dialect: returning, wants: Keys, hasKey: true},
			plan{returning: true},
			false,
		},
		{
			"an update by condition, without RETURNING",
			facts{op: Update, dialect: none, wants: Keys, hasKey: true},
			plan{readsBefore: true},
			false,
		},
		{
			"an update that hides rows",
			facts{op: Update, dialect: none, wants: Keys, hasKey: true, hides: true, soft: true},
			plan{readsBefore: true, readsAfter: true, compares: true, whole: true},
			false,
		},
		{
			"an update that meets soft-deleted rows",
			facts{op: Update, dialect: returning, wants: Keys, hasKey: true, keyed: true, unscoped: true, soft: true},
			plan{returning: true, whole: true},
			false,
		},
		{
			"the caller has asked for RETURNING",
			facts{op: Update, dialect: returning, wants: Keys, hasKey: true, asked: true},
			plan{readsBefore: true},
			false,
		},
		{
			"an update that changes keys",
			facts{op: Update, dialect: returning, wants: Keys, hasKey: true, before: true, setsKey: true},
			plan{returning: true, readsBefore: true, compares: true, whole: true},
			false,
		},
		{
			"an update that changes keys, without RETURNING",
			facts{op: Update, dialect: none, wants: Keys, hasKey: true, before: true, setsKey: true},
			plan{readsBefore: true, readsAfter: true, compares: true, whole: true},
			false,
		},
		{
			"an update without a key in the table",
			facts{op: Update, dialect: returning, wants: Keys},
			plan{returning: true, whole: true},
			false,
		},
		{
			"a delete by key",
			facts{op: Delete, dialect: none, wants: Keys, hasKey: true, keyed: true, removes: true},
			plan{},
			false,
		},
		{
			"a delete by key, columns wanted",
			facts{op: Delete, dialect: none, wants: Columns, hasKey: true, keyed: true, removes: true},
			plan{readsBefore: true, whole: true},
			false,
		},
		{
			"an update by a key that may be spelled otherwise",
			facts{op: Update, dialect: none, wants: Keys, hasKey: true, keyed: true},
			plan{readsAfter: true},
			true,
		},
		{
			"a delete by a key that may be spelled otherwise",
			facts{op: Delete, dialect: none, wants: Keys, hasKey: true, keyed: true, removes: true},
			plan{readsBefore: true},
			true,
		},
		{
			"a delete by condition",
			facts{op: Delete, dialect: mixed, wants: Keys, hasKey: true, removes: true},
			plan{returning: true},
			false,
		},
		{
			"a delete that names several tables",
			facts{op: Delete, dialect: mixed, wants: Keys, hasKey: true, removes: true, joined: true},
			plan{readsBefore: true},
			false,
		},
		{
			"a soft delete where only DELETE has RETURNING",
			facts{op: Delete, dialect: mixed, wants: Keys, hasKey: true, soft: true},
			plan{readsBefore: true},
			false,
		},
		{
			"an upsert by key",
			facts{op: Create, dialect: returning, wants: Keys, hasKey: true, upserts: true, exact: true, looksUp: true, rows: 1},
			plan{readsBefore: true, readsAfter: true},
			false,
		},
		{
			"an upsert that may leave rows as they are",
			facts{op: Create, dialect: returning, wants: Keys, hasKey: true, upserts: true, looksUp: true, rows: 1},
			plan{readsBefore: true, readsAfter: true, whole: true},
			false,
		},
		{
			"an upsert that can meet no row",
			facts{op: Create, dialect: returning, wants: Columns, hasKey: true, upserts: true, exact: true, rows: 1},
			plan{whole: true},
			false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.facts.exactKey = !test.spelled
			assert.Equal(t, test.want, planFor(test.facts))
		})
	}
}

func TestPlansThatFail(t *testing.T) {
	none := dialect{known: true}
	for _, test := range []struct {
		name  string
		facts facts
		want  string
	}{
		{"an unknown database", facts{op: Delete, wants: Keys, hasKey: true, removes: true}, "on this database"},
		{"an upsert on an unknown database", facts{op: Create, wants: Keys, hasKey: true, upserts: true}, "on this database"},
		{"rows without a key to compare", facts{op: Update, dialect: none, wants: Keys, before: true}, "no primary key"},
		{"rows without a key to read again", facts{op: Update, dialect: none, wants: Keys}, "no primary key"},
		{"rows without a key to look up", facts{op: Create, dialect: none, wants: Keys, upserts: true, looksUp: true}, "no primary key"},
		{"a created row without a key that is not as in memory", facts{op: Create, dialect: none, wants: Columns, differs: true}, "no primary key"},
		{"a view", facts{op: Update, dialect: none, wants: Keys, hasKey: true, failure: errView}, "a view"},
		{"too many rows", facts{op: Create, dialect: none, wants: Keys, hasKey: true, upserts: true, rows: maxRows + 1}, "more than 10000 rows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := planFor(test.facts)
			assert.ErrorContains(t, p.failure, test.want)
			assert.False(t, p.returning)
		})
	}
}
