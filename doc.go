// Package rohrpost sends committed database changes to web pages. A GORM model embeds
// a marker, the program uses one plugin and mounts one HTTP handler. From then on every
// committed create, update and delete reaches, as a small JSON message over WebSocket,
// the connections that may see it.
//
// # Quick start
//
//	type Article struct {
//		rohrpost.NotifyOnChange `rohrpost:"group:articles"`
//
//		ID    uint
//		Title string
//	}
//
//	// PushNotificationData returns what clients see of an article.
//	func (a Article) PushNotificationData([]string, string) any {
//		return map[string]any{"id": a.ID, "title": a.Title}
//	}
//
//	hub := rohrpost.NewHub(rohrpost.Config{})
//	hub.Allow("articles", rohrpost.Anyone)  // who may subscribe; by default no client may
//	err := db.Use(rohrpost.Plugin(hub))     // db is a *gorm.DB
//	http.Handle("/ws/rohrpost/", hub)       // where clients connect
//	http.Handle("/rohrpost/", js.Handler()) // the JavaScript client
//	defer hub.Shutdown(ctx)                 // after the Shutdown of the http.Server
//
// In the page:
//
//	import Rohrpost from "/rohrpost/rohrpost.js";
//	const hub = new Rohrpost("/ws/rohrpost/");
//	hub.on("articles", (error, change) => console.log(change.type, change.object));
//
// Hub.Snapshot gives pages the rows with which they begin, so that hub.watch keeps a
// list that equals the table. The examples below and the folder example show more.
//
// # Guarantees
//
//   - The hub sends a change if and only if its transaction commits, except what a
//     savepoint rolls back. doc/WRITES.md lists for every way of writing which changes are
//     sent; README.md lists the writes that the plugin cannot see.
//   - Where the plugin cannot know the changed rows, the groups concerned get a Resync.
//   - All members of a group receive its messages in the same order.
//   - A client that was disconnected receives the messages that it has missed, in order
//     and once, or learns that it must load its snapshot again; see doc/RESUME.md.
//   - Publishing waits for no connection. The hub closes a connection that reads too
//     slowly with code 4008, and drops no message silently.
//   - A client is in no group that no Allow pattern admits it to.
//   - No failure of this package, and no panic in a model's methods, reaches the caller's
//     write. The hub logs it and counts it in Stats.
//   - NewHub and Plugin start nothing. Shutdown ends everything that the hub has started,
//     and waits for it.
//
// doc/ARCHITECTURE.md says where things are.
package rohrpost
