package rohrposttest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/notify"
	"gorm.io/gorm/schema"
)

// PayloadFields lists every field that changes of a model can carry, a line each with
// the types of change that carry it, "author.name: create, update". Compared with
// a golden file it makes a field that got into a payload by accident visible in
// review.
//
// It calls PushNotificationData with an empty model and with one that is filled
// to the last field, and looks at the types of what it returns, so that omitempty
// and nil pointers hide nothing. What only certain values bring forth it cannot
// see. "[]" stands for the elements of a list, "*" for keys that are data, "" for
// an object that is a plain value. The test fails for a model with PushNotificationDataTx,
// whose object depends on a database.
func PayloadFields(t testing.TB, model any) string {
	t.Helper()
	s, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		t.Fatalf("payload fields: %T: %v", model, err)
	}
	plugin := rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{})).(*capture.Plugin)
	types, err := notify.Of(plugin).MessageTypes(capture.NewTable(nil, s))
	if err != nil {
		t.Fatalf("payload fields: %T: %v", model, err)
	}
	if _, reads := reflect.New(s.ModelType).Interface().(rohrpost.PayloadProviderTx); reads {
		t.Fatalf("payload fields: %T: PushNotificationDataTx reads a database; look at what Record has recorded instead", model)
	}
	carriers := map[string][]string{}
	for _, changeType := range types {
		for field := range emitted(t, s, changeType) {
			carriers[field] = append(carriers[field], changeType)
		}
	}
	var text strings.Builder
	for _, field := range slices.Sorted(maps.Keys(carriers)) {
		text.WriteString(field + ": " + strings.Join(carriers[field], ", ") + "\n")
	}
	return text.String()
}

// emitted are the fields of one type of change.
func emitted(t testing.TB, s *schema.Schema, changeType string) shape {
	found := shape{}
	updates := [][]string{nil}
	if changeType == rohrpost.Update {
		updates = append(updates, s.DBNames)
	}
	for _, sample := range []reflect.Value{reflect.New(s.ModelType), filled(s.ModelType)} {
		for _, fields := range updates {
			object, ok := payload(t, sample, fields, changeType)
			if !ok {
				continue
			}
			found.add("", reflect.ValueOf(object))
			if text, err := json.Marshal(object); err == nil && text[0] == '{' && changeType == rohrpost.Update {
				found["updated_fields"] = true // is set in it
			}
		}
	}
	return found
}

// payload is what the model would push. A model may well fail on a sample that
// its program never writes.
func payload(t testing.TB, sample reflect.Value, fields []string, changeType string) (object any, ok bool) {
	notifier, pushes := sample.Interface().(rohrpost.PayloadProvider)
	if !pushes {
		return map[string]any{"id": 1}, true
	}
	defer func() {
		if failure := recover(); failure != nil {
			t.Logf("payload fields: PushNotificationData of %+v: %v", sample.Elem(), failure)
			object, ok = nil, false
		}
	}()
	return notifier.PushNotificationData(fields, changeType), true
}
