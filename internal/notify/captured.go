package notify

import (
	"errors"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// statement is a captured statement with facts that its rows share.
type statement struct {
	*capture.Statement
	tx      *Tx
	model   *model
	fields  []string // that it updates, as messages name them
	updates bool     // it is an update to groups that its rows stay in
	origin  string   // of its changes

	copies   map[uintptr]reflect.Value // of rows, with their associations
	unloaded error                     // why they are without
}

// Captured implements capture.Transaction. If rows are unknown, it adds a resync for all
// groups that they may concern.
func (t *Tx) Captured(captured *capture.Statement) {
	m := captured.Table.Interest().(*model)
	s := statement{Statement: captured, tx: t, model: m}
	s.fields, s.updates = m.fieldNames(s.Named), m.announcesUpdateOf(s.Set)
	s.origin = OriginOf(s.Context)
	if m.hasMethods() {
		defer t.notifier.endWatch(t.notifier.watch(m))
	}
	t.reserve(len(s.Rows))
	for i := range s.Rows {
		s.row(&s.Rows[i])
	}
	s.keyless()
	switch {
	case errors.Is(s.Unknown, capture.ErrManyRows):
		t.addResyncs(m, wire.ReasonRows)
	case s.Unknown != nil:
		t.addResyncs(m, wire.ReasonUnknown)
	}
}

// keyless adds resyncs for the groups of created rows whose keys are unknown.
func (s *statement) keyless() {
	for i := range s.Keyless {
		r := &s.Keyless[i]
		if !s.model.announces(capture.Create) || !s.model.isLive(s.Context, r.After) {
			continue
		}
		groups, err := s.groupsWithoutKey(r.After)
		if err != nil {
			groups = s.model.patterns()
		}
		for _, group := range groups {
			s.tx.add(txEntry{change: wire.NewResync(group, wire.ReasonUnknown), model: s.model})
		}
	}
}

// row announces one row. A soft-deleted row is in no group.
func (s *statement) row(r *capture.Row) {
	switch s.Operation {
	case capture.Create:
		if r.Before.IsValid() {
			s.diff(r)
		} else if s.model.isLive(s.Context, r.After) {
			s.announce(capture.Create, nil, r.Key, r.After)
		}
	case capture.Update:
		if s.Compared {
			s.diff(r)
		} else if s.model.isLive(s.Context, r.After) {
			s.announce(capture.Update, s.fields, r.Key, r.After)
		}
	case capture.Delete:
		if s.model.isLive(s.Context, r.Before) {
			s.announce(capture.Delete, nil, r.Key, r.Before)
		}
	}
}

// diff announces one row as it was and as it is: an update to the groups that it stays
// in, a create or a delete to others.
func (s *statement) diff(r *capture.Row) {
	m := s.model
	was := r.Before.IsValid() && m.isLive(s.Context, r.Before)
	is := r.After.IsValid() && m.isLive(s.Context, r.After)
	switch {
	case was && !is && !s.SetsKey:
		s.announce(capture.Delete, nil, r.Key, r.Before)
		return
	case is && !was && !s.SetsKey:
		s.announce(capture.Create, nil, r.Key, r.After)
		return
	case !m.announces(capture.Update):
		return
	}
	var old, now []string
	var err error
	if was {
		old, err = s.groupsOf(nil, capture.Update, r.Key, r.Before)
	}
	if is && err == nil {
		now, err = s.groupsOf(nil, capture.Update, r.Key, r.After)
	}
	if err != nil {
		s.groupless(capture.Update, r.Key, err)
		return
	}
	for _, deleted := range old {
		if !slices.Contains(now, deleted) {
			s.addChange(capture.Delete, nil, r.Key, r.Before, deleted)
		}
	}
	for _, group := range now {
		switch {
		case !slices.Contains(old, group):
			s.addChange(capture.Create, nil, r.Key, r.After, group)
		case s.updates:
			s.addChange(capture.Update, s.fields, r.Key, r.After, group)
		}
	}
}

// announce announces a row to all its groups.
func (s *statement) announce(op capture.Operation, fields []string, key capture.Key, row reflect.Value) {
	if !s.model.announces(op) {
		return
	}
	var one [1]string // most rows are in one group
	groups, err := s.groupsOf(one[:0], op, key, row)
	if err != nil {
		s.groupless(op, key, err)
		return
	}
	for _, group := range groups {
		s.addChange(op, fields, key, row, group)
	}
}

// addChange builds the change of one row for one group, to wait for the commit. Only a
// PushNotificationDataTx method makes different changes for the views of a group.
func (s *statement) addChange(op capture.Operation, fields []string, key capture.Key, row reflect.Value, group string) {
	var views []string
	if s.model.makesPayloadTx != nil {
		views = s.tx.notifier.config.Views(group)
	}
	if views == nil {
		s.addChangeFor(op, fields, key, row, group, "")
	}
	for _, view := range views {
		s.addChangeFor(op, fields, key, row, group, view)
	}
}

// addChangeFor is addChange for a view, "" for all. It logs, counts and leaves out a change
// that it cannot build.
func (s *statement) addChangeFor(op capture.Operation, fields []string, key capture.Key, row reflect.Value, group, view string) {
	e := txEntry{model: s.model, key: key.Text(), op: op, fields: fields}
	e.change = wire.Change{Group: group, UpdatedFields: fields, Origin: s.origin, View: view}
	var before *wire.Change
	net := s.tx.notifier.config.NetEffect
	if net {
		before = s.tx.compose(&e)
	}
	if e.op != nothing {
		e.change.Type = e.op.String()
		err := e.change.Check()
		if err == nil {
			err = s.render(&e, op, before, key, row)
		}
		switch {
		case err != nil:
			s.skip(op, key, err)
			if s.hasHappened(err) {
				s.tx.add(txEntry{model: s.model, change: e.change.Resync(wire.ReasonUnknown)})
			}
			return
		case e.hidden && !net, e.change.Object == nil:
			return
		}
	}
	s.tx.add(e)
}

// render sets the object of the change, nil if the update is not to be sent. It hides the
// row from a view whose payload is null. op is what the statement has done, and before is
// the change with which that was composed.
func (s *statement) render(e *txEntry, op capture.Operation, before *wire.Change, key capture.Key, row reflect.Value) error {
	if !s.tx.needsPayload(e.change.Stream()) {
		e.change.Object = wire.Unrendered{}
		return nil
	}
	if s.model.payload != nil {
		return s.renderColumns(e, op, before, key, row)
	}
	object, err := s.payload(e.op, e.fields, e.change.View, key, row)
	switch {
	case err != nil:
		return err
	case e.change.View != "" && object.IsNull():
		return e.hide(key)
	case e.op == capture.Update && !s.model.sends(object, e.fields):
		return nil
	}
	if e.change.View != "" { // it must not learn of other columns
		e.change.UpdatedFields = fieldsIn(object, e.fields)
	}
	e.change.Object = object
	return nil
}

// renderColumns is render for a model that lists columns: an update tells only those that
// it sets. Composed with an earlier change it adds them to the object of that.
func (s *statement) renderColumns(e *txEntry, op capture.Operation, before *wire.Change, key capture.Key, row reflect.Value) error {
	object, err := s.columns(op, key, row)
	e.change.Object, e.change.Partial = object, op == capture.Update
	if before == nil || op != capture.Update || err != nil {
		return err
	}
	e.change.Partial = before.Partial
	if known, rendered := before.Object.(wire.Object); rendered {
		e.change.Object = wire.ObjectOf(wire.Unite(known.JSON(), object.JSON()))
	} else {
		e.change.Object = before.Object
	}
	return nil
}

// hide makes the change of a row one that takes the row out of its view.
func (e *txEntry) hide(key capture.Key) error {
	if key.Err() != nil {
		return queryError{key.Err()} // the view must not keep the row
	}
	e.hidden = e.op == capture.Create
	e.change.Type, e.change.UpdatedFields = capture.Delete.String(), nil
	e.change.Object = wire.KeyObject(key.JSON())
	return nil
}

// groupless skips a change whose groups cannot be named.
func (s *statement) groupless(op capture.Operation, key capture.Key, err error) {
	s.skip(op, key, err)
	if s.hasHappened(err) {
		s.tx.addResyncs(s.model, wire.ReasonUnknown)
	}
}

// hasHappened reports whether a resync takes the place of a change that failed. An outbox
// leaves out none.
func (s *statement) hasHappened(err error) bool {
	return s.tx.outbox != nil || errors.As(err, &queryError{})
}

func (s *statement) skip(op capture.Operation, key capture.Key, err error) {
	s.tx.notifier.skip(s.model.table.Name, key.Text(), op, err)
}

// compose composes a change with the earlier one of the row in the transaction, which it
// returns, nil for none. Each change holds the whole effect so far, so that a savepoint only
// truncates the list.
func (t *Tx) compose(e *txEntry) *wire.Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.netted == nil {
		t.netted = map[netKey]int{}
		for i := range t.entries {
			if e := &t.entries[i]; e.isNet() {
				t.netted[e.netKey()] = i
			}
		}
	}
	at, known := t.netted[e.netKey()]
	if !known {
		return nil
	}
	was := t.entries[at]
	e.op, e.fields = netOf(was.op, was.fields, e.op, e.fields)
	e.change.UpdatedFields, e.change.Origin = e.fields, wire.ComposedOrigin(was.change.Origin, e.change.Origin)
	return &was.change
}
