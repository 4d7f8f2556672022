package handlers

import "encoding/json"

// Unsubscribe leaves the group that data means. The reply is the same whether
// the connection was in the group or not, and whether it could be.
func Unsubscribe(d Door, data json.RawMessage) (Group, error) {
	name, err := d.GroupOf(data)
	if err != nil {
		return Group{}, err
	}
	d.Leave(name)
	return Group{Name: name}, nil
}
