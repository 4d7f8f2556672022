package natsbroker

import (
	"fmt"
	"strconv"
	"strings"
)

// subjects names what a program has in NATS:
//
//	rohrpost.APP.ERA.m.STREAM       a message
//	rohrpost.APP.ERA.n.SOURCE       the number of the last batch that was taken from a source
//	rohrpost.APP.ERA.claim          which hub may change the stream in JetStream
//	rohrpost.APP.live.ERA.m.STREAM  the message, when it is published
//	rohrpost.APP.live.ERA.n.SOURCE  the end of what was published together
//	rohrpost.APP.live.signal.m.STREAM
type subjects struct {
	stream string // of JetStream
	prefix string // of all subjects, with a dot
}

const signalEra = "signal"

func newSubjects(app string) subjects {
	return subjects{stream: "rohrpost_" + escape(app), prefix: "rohrpost." + escape(app) + "."}
}

func (s subjects) all(era string) string             { return s.prefix + era + ".>" }
func (s subjects) kept(era string) string            { return s.prefix + era + ".*.*" } // without the claim
func (s subjects) claim(era string) string           { return s.prefix + era + ".claim" }
func (s subjects) message(era, stream string) string { return s.prefix + era + ".m." + escape(stream) }
func (s subjects) number(era, source string) string  { return s.prefix + era + ".n." + escape(source) }
func (s subjects) live(era, stream string) string {
	return s.prefix + "live." + era + ".m." + escape(stream)
}
func (s subjects) ends(era string) string { return s.prefix + "live." + era + ".n.*" }

// parseLive returns the parts of the subject of what was published.
func (s subjects) parseLive(subject string) (era, kind, key string, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.prefix+"live.")
	if !ok {
		return "", "", "", false
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 {
		return "", "", "", false
	}
	key, err := unescape(parts[2])
	return parts[0], parts[1], key, err == nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// escape makes a token of a subject. What is not a letter or a digit becomes "=" and two
// hexadecimal digits.
func escape(key string) string {
	var b strings.Builder
	b.Grow(len(key) + 8)
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

func unescape(token string) (string, error) {
	if !strings.Contains(token, "=") {
		return token, nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '=' {
			b.WriteByte(token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", strconv.ErrSyntax
		}
		c, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}
