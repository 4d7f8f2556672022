// Package faults tests that no client misses a change when connections and servers
// fail. Proxies inject network faults, clients reconnect and resume, and an oracle
// compares the events of each client with the committed changes.
package faults
