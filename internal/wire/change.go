package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The types of a Change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
	Resync = "resync"
)

// Change is rohrpost.Change.
type Change struct {
	Group         string
	Type          string
	Object        any
	UpdatedFields []string
	Partial       bool
	Origin        string
	View          string
}

// Stream returns the stream that the change is for. Without a view it may be for those of
// all views of the group.
func (ch *Change) Stream() string { return Stream(ch.Group, ch.View) }

// Unrendered is the Object of a change for a group that had neither members nor a
// history when the change was captured. A group that has some by the commit gets a
// resync instead.
type Unrendered struct{}

// Check returns what is wrong with the change, as far as that can be seen without
// encoding it.
func (ch *Change) Check() error {
	if !ValidGroup(ch.Group) && !ch.HasPattern() {
		return fmt.Errorf("change: malformed group name %.250q", ch.Group)
	}
	switch {
	case ch.Type == "":
		return errors.New("change: no type")
	case ch.Type == unsubscribed:
		return fmt.Errorf("change: the type %q is reserved", ch.Type)
	case !validType(ch.Type):
		return fmt.Errorf("change: the type %.100q is not 1 to 64 of a-z, 0-9, _ and -", ch.Type)
	case ch.View != "" && !ValidView(ch.View):
		return fmt.Errorf("change: the view %.100q is not 1 to 32 of a-z, 0-9 and _", ch.View)
	case ch.Origin != "" && Origin(PageOf(ch.Origin)) == "":
		return fmt.Errorf("change: the origin %.100q is not 1 to 64 of A-Z, a-z, 0-9, _ and -", ch.Origin)
	}
	return nil
}

// validType reports whether a type fits [a-z0-9_-]{1,64}.
func validType(s string) bool {
	for i := range len(s) {
		if c := s[i]; !groupByte(c) || 'A' <= c && c <= 'Z' || c == '.' || c == ':' || c == escape {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// HasPattern reports whether the change is for all groups that match a pattern.
func (ch *Change) HasPattern() bool {
	if ch.Type != Resync || !strings.Contains(ch.Group, "{") {
		return false
	}
	_, err := ParsePattern(ch.Group)
	return err == nil
}

// Encode returns the JSON of the message that carries the change. The caller must
// have called Check.
func (ch *Change) Encode() ([]byte, error) {
	object, err := EncodeValue(ch.Object)
	if err != nil {
		return nil, fmt.Errorf("object of change in %s: %w", ch.Group, err)
	}
	size := len(object) + len(ch.Type) + len(ch.Group) + len(ch.Origin) + 160
	for _, field := range ch.UpdatedFields {
		size += 2 * (len(field) + 3)
	}
	b := append(make([]byte, 0, size), `{"id":`...)
	b = strconv.AppendUint(b, randomInteger(), 10)
	b = append(b, `,"type":"`+ChangeMessage+`","data":{"type":`...)
	b = AppendString(b, ch.Type)
	b = append(b, `,"group":`...)
	b = AppendString(b, ch.Group)
	b = append(b, `,"object":`...)
	if len(ch.UpdatedFields) == 0 {
		if b = append(b, object...); ch.Partial && ch.UpdatedFields != nil {
			b = ch.appendFields(append(b, ','))
		}
		return ch.appendEnd(b), nil
	}
	if ch.listsFields(object) {
		b = append(b, trimSpace(object[:len(object)-1])...)
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(ch.appendFields(b), '}')
	} else {
		b = append(b, object...)
	}
	return ch.appendEnd(ch.appendFields(append(b, ','))), nil
}

// appendEnd appends what follows the object and the updated fields.
func (ch *Change) appendEnd(b []byte) []byte {
	if ch.Partial {
		b = append(b, `,"partial":true`...)
	}
	if ch.Origin != "" {
		b = AppendString(append(b, `,"origin":`...), ch.Origin)
	}
	return append(b, "}}"...)
}

const updatedFields = "updated_fields"

// listsFields reports whether the updated fields are set in the object too: it
// must be a JSON object without such a key of its own.
func (ch *Change) listsFields(object json.RawMessage) bool {
	if object[0] != '{' {
		return false
	}
	if !bytes.Contains(object, []byte(updatedFields)) && !bytes.Contains(object, []byte{'\\'}) {
		return true
	}
	for key := range Pairs(object) {
		if Unquote(key) == updatedFields {
			return false
		}
	}
	return true
}

func (ch *Change) appendFields(b []byte) []byte {
	b = append(b, `"`+updatedFields+`":[`...)
	for i, field := range ch.UpdatedFields {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, field)
	}
	return append(b, ']')
}
