package capture

import (
	"strings"

	"gorm.io/gorm"
)

// afterText is the callback behind every statement without a model: raw SQL, by Exec,
// Raw, Row or a query, and writes by db.Table. It is the one place that sees them all:
// under prepared statements the pool sees a text only once. A consumer of tables without
// a model belongs here. Savepoints reach the database as text. A statement that failed
// changes nothing.
func afterText(db *gorm.DB) {
	if db.Error != nil || db.DryRun {
		noteEnd(db)
		return
	}
	verb, name := savepointCommand(db.Statement.SQL.String(), db.Name() == "postgres")
	if verb == "" {
		return
	}
	tx, _ := trackedTxOf(db.Statement.ConnPool)
	if tx == nil {
		return
	}
	switch verb {
	case "SAVEPOINT":
		tx.setSavepoint(name)
	case "RELEASE":
		tx.releaseSavepoint(name)
	default:
		tx.rollBackTo(name)
	}
}

// savepointCommand reads "SAVEPOINT x", "RELEASE [SAVEPOINT] x" and "ROLLBACK
// [WORK|TRANSACTION] TO [SAVEPOINT] x"; verb is empty for anything else. Tracing tools put
// comments around and into statements. Capitals count at most in quotes; the name is folded
// where they do not.
func savepointCommand(query string, capitalsCount bool) (verb, name string) {
	words := words(query)
	if !startsLikeSavepoint(words.skip()) {
		return "", ""
	}
	switch first := words.next(); {
	case strings.EqualFold(first, "SAVEPOINT"):
		verb, name = "SAVEPOINT", words.next()
	case strings.EqualFold(first, "RELEASE"):
		verb, name = "RELEASE", words.nextBut("SAVEPOINT")
	case strings.EqualFold(first, "ROLLBACK"):
		to := words.nextBut("WORK", "TRANSACTION")
		if !strings.EqualFold(to, "TO") {
			return "", ""
		}
		verb, name = "ROLLBACK TO", words.nextBut("SAVEPOINT")
	}
	if name == "" || !words.atEnd() {
		return "", ""
	}
	plain, quoted := unquote(name)
	switch {
	case !quoted && !isNameByte(name[0]):
		return "", ""
	case !quoted || !capitalsCount:
		plain = strings.ToLower(plain)
	}
	return verb, plain
}

// words is the rest of an SQL command.
type words string

// skip drops spaces and comments, and returns the rest.
func (w *words) skip() string {
	for {
		rest := strings.TrimLeft(string(*w), " \t\r\n\f\v")
		switch {
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#"):
			_, rest, _ = strings.Cut(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			rest = afterComment(rest)
		default:
			*w = words(rest)
			return rest
		}
		*w = words(rest)
	}
}

// afterComment returns what follows a comment. PostgreSQL nests them; elsewhere none
// contains the beginning of another.
func afterComment(text string) string {
	for depth := 0; text != ""; {
		switch {
		case strings.HasPrefix(text, "/*"):
			depth, text = depth+1, text[2:]
		case strings.HasPrefix(text, "*/"):
			if depth, text = depth-1, text[2:]; depth == 0 {
				return text
			}
		default:
			text = text[1:]
		}
	}
	return ""
}

// next takes one word: a name, quoted or not, or one character.
func (w *words) next() string {
	rest := w.skip()
	if rest == "" {
		return ""
	}
	length := 1
	if closing, quoted := closingQuotes[rest[0]]; quoted {
		if length = quotedLength(rest, closing); length == 0 {
			return ""
		}
	} else if isNameByte(rest[0]) {
		for length < len(rest) && isNameByte(rest[length]) {
			length++
		}
	}
	*w = words(rest[length:])
	return rest[:length]
}

var closingQuotes = map[byte]byte{'"': '"', '`': '`', '\'': '\'', '[': ']'}

// quotedLength returns the length of the quoted name at the beginning, 0 if it has no end.
// A quote in the name is doubled.
func quotedLength(text string, closing byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != closing:
		case closing != ']' && i+1 < len(text) && text[i+1] == closing:
			i++
		default:
			return i + 1
		}
	}
	return 0
}

// nextBut takes one word, or the one behind it if it is one of the options and another
// word follows.
func (w *words) nextBut(options ...string) string {
	word := w.next()
	for _, option := range options {
		if strings.EqualFold(word, option) && !w.atEnd() {
			return w.next()
		}
	}
	return word
}

// atEnd reports whether no more than semicolons and comments follow.
func (w *words) atEnd() bool {
	rest := *w
	for strings.HasPrefix(rest.skip(), ";") {
		rest = rest[1:]
	}
	return rest == ""
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// unquote returns what is in the quotes of a name, if it has some.
func unquote(name string) (plain string, quoted bool) {
	closing, quoted := closingQuotes[name[0]]
	if !quoted {
		return name, false
	}
	quote := string(closing)
	return strings.ReplaceAll(name[1:len(name)-1], quote+quote, quote), true
}

// startsLikeSavepoint looks at two letters, so that a SELECT costs nothing more.
func startsLikeSavepoint(query string) bool {
	if len(query) < 2 {
		return false
	}
	const lower = 0x20 // makes an ASCII letter lower case
	switch [2]byte{query[0] | lower, query[1] | lower} {
	case [2]byte{'s', 'a'}, [2]byte{'r', 'e'}, [2]byte{'r', 'o'}:
		return true
	}
	return false
}
