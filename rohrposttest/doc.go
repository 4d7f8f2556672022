// Package rohrposttest tests programs that use rohrpost. It checks the changes that a
// program sends, their groups and their payloads, without network sockets and sleeps.
//
//   - Record records the changes that the writes of a test send.
//   - Dial opens an in-memory connection that speaks the real protocol.
//   - Allowed checks which users may subscribe to which groups.
//   - PayloadFields lists all fields that changes of a model can contain, for a golden file.
//
// The package works in parallel tests and inside testing/synctest.
package rohrposttest
