// Package rohrposttest is for the tests of programs that use rohrpost: it shows
// that a change was announced, to whom and with what, without sockets and
// without sleeping.
//
//   - Record captures what the writes of a test announce.
//   - Dial opens a connection inside the process that speaks the real protocol.
//   - Allowed checks who may subscribe to what.
//   - Emits lists every field that a model can emit, for a golden file.
//
// All of it works inside testing/synctest, and in parallel tests.
package rohrposttest
