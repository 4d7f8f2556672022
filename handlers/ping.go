// Package handlers parses the requests that every hub answers, ping, subscribe and
// unsubscribe, and defines their replies. A program needs of it only GroupOf, which is
// the default of Config.GroupOf.
package handlers

import "encoding/json"

// Ping returns the data of a pong: that of the ping, byte for byte, or nil for none.
func Ping(data json.RawMessage) json.RawMessage { return data }
