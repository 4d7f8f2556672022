package rohrpost

import (
	"context"
	"fmt"
	"slices"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groupsOf appends the names of the row's groups. The model's methods are the user's code: a
// panic in them becomes an error.
func (m *model) groupsOf(ctx context.Context, groups []string, op operation, r *row) (_ []string, err error) {
	defer panics.Recover(&err)
	switch {
	case m.namesGroups:
		for _, group := range r.value.Addr().Interface().(GroupsNamer).GroupNames(writes[op]) {
			if !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
		return groups, nil
	case m.namesGroup:
		return append(groups, r.value.Addr().Interface().(GroupNamer).GroupName(writes[op])), nil
	}
	name, err := m.tags[op].group.name(ctx, m, r)
	if err != nil {
		return nil, fmt.Errorf("name the group: %w", err)
	}
	return append(groups, name), nil
}

// name fills the template with the row's columns.
func (g *groupTemplate) name(ctx context.Context, m *model, r *row) (string, error) {
	name := make([]byte, 0, 64)
	parts := g.parts
	if parts == nil {
		name = append(append(name, m.name...), '-')
		parts = []groupPart{{}}
	}
	for _, part := range parts {
		switch {
		case part.text != "":
			name = append(name, part.text...)
		case part.field != nil && r.value.IsValid():
			value, _ := part.field.ValueOf(ctx, r.value)
			column, _, err := keyText(value)
			if err != nil {
				return "", fmt.Errorf("column %s: %w", part.field.DBName, err)
			}
			name = append(name, column...)
		case r.key.json == "":
			return "", r.keyErr(ctx, m)
		case part.field != nil: // of the key, which is all that was read
			name = append(name, r.key.part(slices.Index(m.schema.PrimaryFields, part.field))...)
		default:
			name = append(name, r.key.text...)
		}
	}
	return string(name), nil
}

// object is encoded here and now: what the user's value refers to may change
// before the commit.
func (m *model) object(op operation, fields []string, r *row) (object wire.Object, err error) {
	defer panics.Recover(&err)
	if m.pushesData {
		payload := r.value.Addr().Interface().(PushNotifier).PushNotificationData(fields, writes[op])
		if object, err = wire.EncodeObject(payload); err != nil {
			return object, fmt.Errorf("build the payload: %w", err)
		}
		return object, nil
	}
	if r.key.json == "" {
		return object, r.keyErr(context.Background(), m)
	}
	return wire.KeyObject(r.key.json), nil
}

// sends reports whether an update with these fields is to be sent: a model may
// ask that one of them is in the object.
func (m *model) sends(object wire.Object, fields []string) bool {
	if m.tags[updating].alwaysSend || len(fields) == 0 || object.JSON()[0] != '{' {
		return true
	}
	for key := range wire.Pairs(object.JSON()) {
		if slices.Contains(fields, wire.Unquote(key)) {
			return true
		}
	}
	return false
}
