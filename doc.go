// Package rohrpost tells web pages what is in the database now. A GORM model
// embeds a marker, the plugin is used on the database handle, the hub is mounted
// as an HTTP handler; from then on every committed create, update and delete
// reaches, as a small JSON message over WebSocket, exactly the connections that
// may see it.
//
//	db.Create(&article)                                                            browser
//	     |                                                                            ^
//	 plugin.go --> commit.go (hold until COMMIT) --> Hub.Publish --> broker --> hub.go --> conn.go
//	 ...... database half: gorm, no sockets ......   protocol.go   ........ socket half ........
//
// # Promises
//
//   - A change is sent if and only if its transaction commits; what a savepoint
//     takes back is not sent. doc/WRITES.md says for every way of writing what is
//     announced, and README.md names what cannot be seen.
//   - What cannot be told row by row is a Resync to all whom it may concern.
//   - All members of a group see its messages in the same order.
//   - Publishing waits for no connection. One that reads too slowly is closed
//     with code 4008; nothing is dropped in silence.
//   - Nobody is in a group that no Allow pattern lets him into.
//   - No failure here, nor a panic in a model's methods, reaches the caller's
//     write. It is logged and counted in Stats.
//   - What the hub starts, Shutdown ends and waits for. NewHub and Plugin start
//     nothing.
//
// A connection that was away gets what it has missed, in order and once, or is told
// to load its state again; doc/RESUME.md says how.
//
// # Reading order
//
// The database half: mixins.go, plugin.go, commit.go, then write.go and
// announce.go. The language of both: protocol.go, request.go, change.go. The
// socket half: hub.go, conn.go, then groups.go, worker.go and outlet.go. History and
// resuming: broker.go, memory.go, gate.go, entrance.go.
package rohrpost
