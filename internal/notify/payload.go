package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groupsOf appends the names of a row's groups. A row whose group has no name is in none. The model's methods are the user's
// code: a panic in them becomes an error.
func (m *model) groupsOf(ctx context.Context, groups []string, op capture.Operation, key capture.Key, row reflect.Value) (_ []string, err error) {
	defer panics.Recover(&err)
	switch {
	case m.namesGroups:
		for _, group := range row.Addr().Interface().(groupsNamer).GroupNames(op.String()) {
			if group != "" && !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
		return groups, nil
	case m.namesGroup:
		if name := row.Addr().Interface().(groupNamer).GroupName(op.String()); name != "" {
			groups = append(groups, name)
		}
		return groups, nil
	}
	name, err := m.tags[op].group.name(ctx, m.table.Name, key, row)
	if err != nil {
		return nil, fmt.Errorf("name the group: %w", err)
	}
	if name != "" {
		groups = append(groups, name)
	}
	return groups, nil
}

var errNeedsKey = errors.New("the group depends on the key")

// groupsWithoutKey returns the groups of a created row whose key is unknown. The error
// means that they may depend on the key.
func (m *model) groupsWithoutKey(ctx context.Context, row reflect.Value) ([]string, error) {
	if tag := m.tags[capture.Create]; m.needsKey(tag) {
		return nil, errNeedsKey
	}
	return m.groupsOf(ctx, nil, capture.Create, capture.Key{}, row)
}

// needsKey reports whether the groups may depend on the key. Those of a method do, unless
// the tag says on what they depend.
func (m *model) needsKey(t *tag) bool {
	if m.namesGroup || m.namesGroups {
		return t.depends == nil || slices.ContainsFunc(t.depends, func(name string) bool { return m.table.Column(name).PrimaryKey })
	}
	return t.group.parts == nil || slices.ContainsFunc(t.group.parts, func(part groupPart) bool {
		return part.text == "" && (part.column == nil || part.column.PrimaryKey)
	})
}

// payload encodes the object of a change at once, since the user's value may change
// before the commit.
func (m *model) payload(op capture.Operation, fields []string, key capture.Key, row reflect.Value) (object wire.Object, err error) {
	defer panics.Recover(&err)
	if m.makesPayload {
		data := row.Addr().Interface().(payloadProvider).PushNotificationData(fields, op.String())
		if object, err = wire.EncodeObject(data); err != nil {
			return object, fmt.Errorf("build the payload: %w", err)
		}
		return object, nil
	}
	if err := key.Err(); err != nil {
		return object, err
	}
	return wire.KeyObject(key.JSON()), nil
}

// sends reports whether an update with these fields is to be sent: a model may
// ask that one of them is in the object.
func (m *model) sends(object wire.Object, fields []string) bool {
	if m.tags[capture.Update].alwaysSend || len(fields) == 0 || object.JSON()[0] != '{' {
		return true
	}
	for key := range wire.Pairs(object.JSON()) {
		if slices.Contains(fields, wire.Unquote(key)) {
			return true
		}
	}
	return false
}
