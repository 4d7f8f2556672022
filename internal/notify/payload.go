package notify

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groupsOf appends the names of a row's groups. The model's methods are the user's
// code: a panic in them becomes an error.
func (m *model) groupsOf(ctx context.Context, groups []string, op capture.Operation, key capture.Key, row reflect.Value) (_ []string, err error) {
	defer panics.Recover(&err)
	switch {
	case m.namesGroups:
		for _, group := range row.Addr().Interface().(groupsNamer).GroupNames(op.String()) {
			if !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
		return groups, nil
	case m.namesGroup:
		return append(groups, row.Addr().Interface().(groupNamer).GroupName(op.String())), nil
	}
	name, err := m.tags[op].group.name(ctx, m.table.Name, key, row)
	if err != nil {
		return nil, fmt.Errorf("name the group: %w", err)
	}
	return append(groups, name), nil
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
