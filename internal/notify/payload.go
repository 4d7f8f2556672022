package notify

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// groupsOf appends the names of a row's groups. A row whose group has no name is in none.
// The model's methods are the user's code: a panic in them becomes an error.
func (s *statement) groupsOf(groups []string, op capture.Operation, key capture.Key, row reflect.Value) (_ []string, err error) {
	defer panics.Recover(&err)
	m := s.model
	if m.namesGroup || m.namesGroups {
		if row, err = s.loaded(row); err != nil {
			return nil, err
		}
	}
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
	name, err := m.tags[op].group.name(s.Context, key, row)
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
func (s *statement) groupsWithoutKey(row reflect.Value) ([]string, error) {
	if tag := s.model.tags[capture.Create]; s.model.needsKey(tag) {
		return nil, errNeedsKey
	}
	return s.groupsOf(nil, capture.Create, capture.Key{}, row)
}

// needsKey reports whether the groups may depend on the key. Those of a method do, unless
// the tag says on what they depend.
func (m *model) needsKey(t *tag) bool {
	if m.namesGroup || m.namesGroups {
		return t.depends == nil || slices.ContainsFunc(t.depends, func(name string) bool { return m.table.Column(name).PrimaryKey })
	}
	return t.group.needsKey()
}

// payload encodes the object of a change at once, since the user's value may change
// before the commit.
func (s *statement) payload(op capture.Operation, fields []string, view string, key capture.Key, row reflect.Value) (object wire.Object, err error) {
	defer panics.Recover(&err)
	m := s.model
	var data any
	switch {
	case m.makesPayloadTx != nil:
		data, err = s.payloadTx(PayloadQuery{Type: op.String(), UpdatedFields: slices.Clone(fields), View: view}, row)
	case m.makesPayload:
		if row, err = s.loaded(row); err == nil {
			data = row.Addr().Interface().(payloadProvider).PushNotificationData(slices.Clone(fields), op.String())
		}
	case key.Err() != nil:
		return object, key.Err()
	default:
		return wire.KeyObject(key.JSON()), nil
	}
	if err == nil {
		object, err = wire.EncodeObject(data)
	}
	if err != nil {
		return object, fmt.Errorf("build the payload: %w", err)
	}
	return object, nil
}

// columns encodes the object of a model that lists columns: of an update those that the
// statement has set, of a create all, and of a delete only the key.
func (s *statement) columns(op capture.Operation, key capture.Key, row reflect.Value) (object wire.Object, err error) {
	defer panics.Recover(&err)
	if key.Err() != nil {
		return object, key.Err()
	}
	if !row.IsValid() {
		row = s.Values
	}
	if object, err = s.model.payload.object(op, s.Set, key.JSON(), row); err != nil {
		return object, fmt.Errorf("build the payload: %w", err)
	}
	return object, nil
}

// payloadTx calls a PushNotificationDataTx method on the connection of the statement.
func (s *statement) payloadTx(q PayloadQuery, row reflect.Value) (data any, err error) {
	if row, err = s.loaded(row); err != nil {
		return nil, err
	}
	err = s.Query(func(tx *gorm.DB) (err error) {
		data, err = s.model.makesPayloadTx(row.Addr().Interface(), tx, q)
		return err
	})
	if err != nil {
		return nil, queryError{err}
	}
	return data, nil
}

// loaded returns a row with the associations of the preload option. The first call loads
// them for all rows of the statement, into copies: a row may be the caller's own struct.
func (s *statement) loaded(row reflect.Value) (reflect.Value, error) {
	if s.model.preload == nil || !row.IsValid() {
		return row, nil
	}
	if s.copies == nil {
		s.copies = map[uintptr]reflect.Value{}
		var copies []reflect.Value
		for _, r := range slices.Concat(s.Rows, s.Keyless) {
			for _, original := range []reflect.Value{r.Before, r.After} {
				if original.IsValid() {
					loaded := reflect.New(original.Type()).Elem()
					loaded.Set(original)
					copies = append(copies, loaded)
					s.copies[original.Addr().Pointer()] = loaded
				}
			}
		}
		if err := s.Preload(copies, s.model.preload); err != nil {
			s.unloaded = queryError{fmt.Errorf("preload: %w", err)}
		}
	}
	return s.copies[row.Addr().Pointer()], s.unloaded
}

// queryError is a failed query for a payload or the name of a group: the change is not
// known, but it has happened.
type queryError struct{ error }

// Unwrap returns the error of the query.
func (e queryError) Unwrap() error { return e.error }

// sends reports whether an update with these fields is to be sent: a model may
// ask that one of them is in the object.
func (m *model) sends(object wire.Object, fields []string) bool {
	if m.tags[capture.Update].alwaysSend || len(fields) == 0 || object.JSON()[0] != '{' {
		return true
	}
	return fieldsIn(object, fields) != nil
}

// fieldsIn returns those of the fields that are keys of the object, nil for none.
func fieldsIn(object wire.Object, fields []string) (in []string) {
	if len(fields) == 0 || object.JSON()[0] != '{' {
		return nil
	}
	for key := range wire.Pairs(object.JSON()) {
		if name := wire.Unquote(key); slices.Contains(fields, name) {
			in = append(in, name)
		}
	}
	return in
}
