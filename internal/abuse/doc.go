// Package abuse attacks a hub from another process, beside honest clients. Each attack is
// shown twice: with one defence off it goes through, and with all defences on it is cut.
// doc/SECURITY.md lists the threats.
package abuse
