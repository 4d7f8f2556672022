package rohrpost

// Connections returns the open connections of a user at this hub, in no order. "" is no
// user: for it Connections returns none. Hubs of other processes have connections of their
// own.
func (h *Hub) Connections(userID string) []*Conn { return h.conns.Of(userID) }

// Members returns the connections at this hub that are members of a group, in no order.
func (h *Hub) Members(group string) (members []*Conn) {
	for _, stream := range h.streamsOf(group) {
		for _, m := range h.engine.MembersOf(stream) {
			members = append(members, (*Conn)(m.(*owner)))
		}
	}
	return members
}
