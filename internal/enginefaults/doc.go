// Package enginefaults tests that no page misses a change when the engine between hubs
// fails: it is killed, stopped, restarted, put back in time, full, or cut off. Every adapter
// runs it with faults of its own engine.
package enginefaults
