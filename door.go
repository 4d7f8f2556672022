package rohrpost

import (
	"context"
	"encoding/json"

	"github.com/rohrpost/rohrpost/handlers"
)

var _ handlers.Door = door{}

// door is a connection as the built-in handlers see it: they get into a group
// only past authorize.
type door struct {
	conn    *Conn
	request *Request
}

func (d door) GroupOf(data json.RawMessage) (string, error) { return d.conn.groupOf(data) }

func (d door) Enter(ctx context.Context, group string, want handlers.Want) error {
	ctx = context.WithValue(ctx, requestKey{}, d.request)
	if err := d.conn.authorize(ctx, group); err != nil {
		return err
	}
	e := entrance{conn: d.conn, hub: d.conn.hub, request: d.request, want: want}
	return e.enter(ctx, group)
}

func (d door) Leave(group string) { d.conn.Leave(group) }

func (d door) Refuse(text string) error { return Errorf("%s", text) }
