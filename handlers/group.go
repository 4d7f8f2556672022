package handlers

// Group is what subscribe and unsubscribe reply: the name of the group as the
// messages to it will carry it.
type Group struct {
	Name string `json:"group"`
}
