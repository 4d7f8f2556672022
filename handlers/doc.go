// Package handlers has the handlers every hub answers: ping, subscribe and
// unsubscribe. They say what a request means and what is replied; what they
// need of a connection they get as a Door, so that this package imports
// nothing but the standard library.
package handlers
