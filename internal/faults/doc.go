// Package faults holds the proving grounds of "never miss an update": lines that
// break in every way that networks do, pages that resume, and an oracle that
// compares what they know with what was committed.
package faults
