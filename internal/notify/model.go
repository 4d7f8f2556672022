package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// model holds which writes of a marked type are announced, and to which groups.
type model struct {
	table   *capture.Table
	tags    [operations]*tag  // nil: not announced
	netOnly [operations]bool  // followed for its net effect only, not announced
	without any               // the context key of WithoutFor
	json    map[string]string // names of updated fields by column; nil: the columns

	preload      []string
	payload      *columnPayload // nil: a method makes objects, or they hold only the key
	reads        []string       // the columns that matter besides the key; nil: all
	namesGroup   bool           // the type is a groupNamer
	namesGroups  bool           // the type is a groupsNamer
	makesPayload bool           // the type is a payloadProvider

	// makesPayloadTx calls the type's PushNotificationDataTx, nil if it has none.
	makesPayloadTx func(row any, tx *gorm.DB, q PayloadQuery) (any, error)
}

// The methods that a model may have, as package rohrpost documents them.
type (
	groupNamer interface {
		GroupName(messageType string) string
	}
	groupsNamer interface {
		GroupNames(messageType string) []string
	}
	payloadProvider interface {
		PushNotificationData(updatedFields []string, messageType string) any
	}
)

// newModel returns nil for a type without a marker.
func newModel(t *capture.Table, c Config) (*model, error) {
	m := &model{table: t, without: withoutKeyFor{t.Model}}
	var first *tag
	var tags []*tag
	for op, text := range findMarks(t.Model, c.Markers) {
		if text == nil {
			continue
		}
		parsed, err := parseTag(text.Get("rohrpost"), t)
		if err != nil {
			return nil, err
		}
		m.tags[op] = parsed
		tags = append(tags, parsed)
		if first == nil {
			first = parsed
		}
	}
	if first == nil {
		return nil, nil
	}
	for op := range m.tags {
		if c.NetEffect && m.tags[op] == nil {
			m.tags[op], m.netOnly[op] = first, true
		}
	}
	if err := m.findMethods(c); err != nil {
		return nil, err
	}
	if err := m.completeTags(); err != nil {
		return nil, err
	}
	if err := m.checkKey(); err != nil {
		return nil, err
	}
	payload, err := newColumnPayload(t, tags)
	if err != nil {
		return nil, err
	}
	if !m.makesPayload && m.makesPayloadTx == nil {
		m.payload = payload
	}
	m.preload, m.reads = m.preloads(), m.readColumns()
	if c.JSONNames {
		m.json = jsonNames(t)
	}
	return m, nil
}

// findMethods finds the methods of the type. The error is about one that has the name of a
// method that the plugin calls, but not its signature.
func (m *model) findMethods(c Config) error {
	value := reflect.New(m.table.Model)
	var makesPayloadTx bool
	for _, method := range []struct {
		of    reflect.Type
		found *bool
	}{
		{reflect.TypeFor[groupNamer](), &m.namesGroup},
		{reflect.TypeFor[groupsNamer](), &m.namesGroups},
		{reflect.TypeFor[payloadProvider](), &m.makesPayload},
		{c.PayloadTxType, &makesPayloadTx},
	} {
		if method.of == nil {
			continue
		}
		want := method.of.Method(0)
		got := value.MethodByName(want.Name)
		if *method.found = value.Type().Implements(method.of); got.IsValid() && !*method.found {
			return fmt.Errorf("the method %s is a %s, not a %s", want.Name, got.Type(), want.Type)
		}
	}
	if makesPayloadTx {
		m.makesPayloadTx = c.PayloadTx
	}
	return nil
}

// completeTags names the groups of tags that do not: by the type, unless a method does.
func (m *model) completeTags() error {
	for _, tag := range m.tags {
		if tag == nil || tag.namesGroup || m.namesGroup || m.namesGroups {
			continue
		}
		tag.namesGroup = true
		if err := tag.group.parse(m.table.Name+"-{pk}", m.table); err != nil {
			return fmt.Errorf("the type names no group: %w: name it in the marker's tag", err)
		}
	}
	return nil
}

// checkKey returns an error where a primary key is needed that the table does not have.
func (m *model) checkKey() error {
	if slices.ContainsFunc(m.table.Columns, func(c *capture.Column) bool { return c.PrimaryKey }) {
		return nil
	}
	if !m.makesPayload && m.makesPayloadTx == nil {
		return errors.New("the table has no primary key: the model needs a PushNotificationData method")
	}
	for _, tag := range m.tags {
		if tag != nil && tag.group.usesKey() && !m.namesGroup && !m.namesGroups {
			return errors.New("the table has no primary key: the marker's tag has to name the group by other columns")
		}
	}
	return nil
}

// jsonNames returns the names of the columns in the JSON of the struct, by the rules
// of encoding/json; "" for a field that is not in it.
func jsonNames(t *capture.Table) map[string]string {
	names := map[string]string{}
	for _, column := range t.Columns {
		names[column.Name] = jsonName(column)
	}
	return names
}

// jsonName returns the name of one column, "" if its field is not in the JSON.
func jsonName(column *capture.Column) string {
	tag := column.Field.Tag.Get("json")
	name, _, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-":
		return ""
	case name == "":
		return column.Field.Name
	}
	return name
}

// Wants implements capture.Interest. An update may hide and show rows of a table with
// soft deletes, also where only creates or deletes are announced.
func (m *model) Wants(ctx context.Context, op capture.Operation) capture.Detail {
	switch {
	case m.tags[op] == nil && !(op == capture.Update && m.table.SoftDelete), isWithout(ctx, m.without):
		return capture.Nothing
	case m.needsColumns(op):
		return capture.Columns
	}
	return capture.Keys
}

// WantsUpdate implements capture.Interest.
func (m *model) WantsUpdate(set []string) (detail capture.Detail, before bool) {
	switch {
	case !m.announcesUpdateOf(set):
		detail = capture.Nothing
	case m.readsRows(capture.Update), m.payload != nil && m.payload.readOnly:
		detail = capture.Columns
	case m.payload != nil:
		detail = capture.Values
	default:
		detail = capture.Keys
	}
	return detail, m.changesGroups(set)
}

// Reads implements capture.Interest.
func (m *model) Reads() []string { return m.reads }

// readColumns returns the columns that matter. A method may look at any.
func (m *model) readColumns() []string {
	if m.hasMethods() {
		return nil
	}
	columns := []string{}
	for _, tag := range m.tags {
		if tag != nil {
			columns = append(append(columns, tag.payload...), tag.group.columnNames()...)
		}
	}
	return columns
}

// Rereads implements capture.Interest.
func (m *model) Rereads() capture.Reread {
	for _, tag := range m.tags {
		if tag != nil {
			return tag.reread
		}
	}
	return capture.RereadLossy
}

// announces reports whether writes of this kind are announced.
func (m *model) announces(op capture.Operation) bool { return m.tags[op] != nil }

// hasMethods reports whether the plugin calls methods of the model.
func (m *model) hasMethods() bool {
	return m.namesGroup || m.namesGroups || m.makesPayload || m.makesPayloadTx != nil
}

// preloads returns the associations that the methods need.
func (m *model) preloads() []string {
	var names []string
	for _, tag := range m.tags {
		if tag == nil {
			continue
		}
		for _, name := range tag.preload {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// needsColumns reports whether more than the key of a written row must be known.
func (m *model) needsColumns(op capture.Operation) bool {
	return m.readsRows(op) || m.payload != nil && op != capture.Delete
}

// readsRows reports whether columns of a row must be known that the write may not tell.
func (m *model) readsRows(op capture.Operation) bool {
	return m.hasMethods() || m.tags[op] != nil && m.tags[op].group.needsColumns()
}

// changesGroups reports whether an update that sets the columns may take a row out of
// one group and into another. A method may depend on any column, unless the tag
// says on which.
func (m *model) changesGroups(set []string) bool {
	tag := m.tags[capture.Update]
	if tag == nil {
		return false
	}
	return slices.ContainsFunc(set, func(name string) bool {
		switch column := m.table.Column(name); {
		case column == nil:
			return false
		case column.PrimaryKey:
			return true
		case tag.depends != nil:
			return slices.Contains(tag.depends, name)
		case m.namesGroup || m.namesGroups:
			return !column.AutoUpdated
		default:
			return tag.group.dependsOn(name)
		}
	})
}

// announcesUpdateOf reports whether an update that sets the columns is announced to
// groups that its rows stay in.
func (m *model) announcesUpdateOf(set []string) bool {
	tag := m.tags[capture.Update]
	switch {
	case tag == nil:
		return false
	case tag.fields != nil:
		return slices.ContainsFunc(set, func(column string) bool { return slices.Contains(tag.fields, column) })
	}
	return m.payload == nil || m.payload.isChangedBy(set)
}

// isLive reports whether the application sees the row: it is not soft-deleted. A row
// of which only the key is known is live.
func (m *model) isLive(ctx context.Context, row reflect.Value) bool {
	return !row.IsValid() || !m.table.Hidden(ctx, row)
}

// fieldNames turns columns into the names that updated fields have in messages.
func (m *model) fieldNames(columns []string) []string {
	if m.payload != nil {
		columns = m.payload.listed(columns)
	}
	if m.json == nil || columns == nil {
		return columns
	}
	var names []string
	if m.payload != nil {
		names = []string{}
	}
	for _, column := range columns {
		if name, known := m.json[column]; !known {
			names = append(names, column)
		} else if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// patterns match every group that a change of the model can be for.
func (m *model) patterns() []string {
	if m.namesGroup || m.namesGroups {
		return []string{wire.AnyGroup}
	}
	var patterns []string
	for _, tag := range m.tags {
		if tag == nil {
			continue
		}
		if pattern := tag.group.pattern.Parsable(); !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}
