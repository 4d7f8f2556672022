package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRequest compares the decoder with encoding/json: what it accepts means
// the same there, and what it refuses it refuses for a reason.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"type":"ping"}`, `{"id": "a\"", "type": "\u0070ing", "data": {"a": [1, {}]}, "auth_jwt": ""}`,
		`{"id":1,"id":2,"type":"x"}`, `{"":1,"":2,"id":1,"type":"x"}`, "", "{", `[1]`, ` {"id" : true , "type" : "" } `,
		`{"id":null,"type":5}`, strings.Repeat(`{"a":`, 70), `{"id":7,"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, `{"\ud800":1,"\udfff":2,"id":1e400,"type":"\u2028"}`, `{"a":"]}\\"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !utf8.Valid(frame) {
			return // the connection is closed before
		}
		r, err := DecodeRequest(frame, 64)
		checkReplyTo(t, r, err)
		if err != nil {
			return
		}
		var oracle map[string]json.RawMessage
		if err := json.Unmarshal(frame, &oracle); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		var typ string
		if json.Unmarshal(oracle["type"], &typ) != nil || typ != r.Name {
			t.Fatalf("type %q, encoding/json says %q", r.Name, typ)
		}
		if n := countKeys(t, frame); n != len(oracle) {
			t.Fatalf("accepted %d keys for %d fields", n, len(oracle))
		}
		for name, value := range oracle {
			if !bytes.Equal(r.Field(name), value) {
				t.Fatalf("field %q is %s, encoding/json says %s", name, r.Field(name), value)
			}
		}
	})
}

// checkReplyTo checks that whatever came in, the reply is a JSON object.
func checkReplyTo(t *testing.T, r Request, err error) {
	t.Helper()
	e := Envelope{ID: r.ID, Type: r.Type, Data: r.Data}
	if err != nil {
		e = Envelope{ID: r.ID, Error: EncodeString(err.Error()), ErrorInfo: &ErrorInfo{Code: CodeMalformed}}
	}
	reply := e.Encode()
	if !json.Valid(reply) || !utf8.Valid(reply) || reply[0] != '{' {
		t.Fatalf("broken reply %s", reply)
	}
	if r.ID != nil && idProblem(r.ID) != "" {
		t.Fatalf("unusable id %s", r.ID)
	}
	if name := SafeName(string(reply)); strings.ContainsAny(name, "\n\r\x1b\u2028") {
		t.Fatalf("unsafe name %q", name)
	}
}

func countKeys(t *testing.T, frame []byte) (n int) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(frame))
	for _, err := d.Token(); d.More(); n++ {
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if _, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9_.:~\-]{1,200}$`)

func FuzzGroupName(f *testing.F) {
	for _, seed := range []string{"", "article-7", "a b", "ä", "a\n", "*", strings.Repeat("a", 200), strings.Repeat("a", 201)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if want := groupName.MatchString(name) && !strings.HasSuffix(name, "\n"); ValidGroup(name) != want {
			t.Fatalf("ValidGroup(%q) is %v", name, !want)
		}
	})
}

// FuzzPattern compares the matcher with a regular expression.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"article-{id}", "article-7"},
		{"{a}-{b}", "1-2-3"},
		{"a{x}b", "a1b2b"},
		{"{a}--{b}-c", "----c-c"},
		{"a", "a"},
		{"{a}", "x"},
		{"a{x}a", "aa"},
		{"{a}{b}", "ab"},
		{"{a}-{a}", "1-1"},
		{"{", "{"},
		{"a}", "a}"},
		{"{a}-{b}-{c}", "---x--"},
		{"{a}2{b}", "~2D2~22x"},
		{"{a:int}-{b:int}", "-1--2"},
		{"{a}D{b}", "~DD~4D~DDD"},
		{"{0}0", "~00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, group string) {
		p, err := ParsePattern(text)
		if err != nil || !ValidGroup(group) || strings.Contains(text, "~") || strings.Contains(text, ":uuid") {
			return
		}
		m := patternOracle(p).FindStringSubmatch(asRunes(group))
		want, matches := map[string]string{}, m != nil
		for i, ph := range p.placeholders {
			value, read := unescape(fromRunes(m, i+1))
			want[ph.name], matches = value, matches && read
		}
		got, ok := p.Match(group)
		if ok != matches || ok && !maps.Equal(got, want) {
			t.Fatalf("%q on %q: %v %v, want %v %v", text, group, ok, got, matches, want)
		}
		if (ok || m != nil) && !p.Matches(group) {
			t.Fatalf("%q must match %q", text, group)
		}
	})
}

func patternOracle(p Pattern) *regexp.Regexp {
	re := "^" + regexp.QuoteMeta(p.literals[0])
	for i, literal := range p.literals[1:] {
		re += map[kind]string{text: "(.+?)", integer: "(0|-?[1-9][0-9]{0,17})"}[p.placeholders[i].kind] + regexp.QuoteMeta(literal)
	}
	return regexp.MustCompile(re + "$")
}

var (
	escaped = regexp.MustCompile("~[0-9A-F]{2}")
	private = regexp.MustCompile(`[\x{E000}-\x{E0FF}]`)
)

// asRunes writes an escaped byte as one character, as a value counts it.
func asRunes(group string) string {
	return escaped.ReplaceAllStringFunc(group, func(s string) string { return string(rune(0xE000 + int(hexDigit(s[1])<<4|hexDigit(s[2])))) })
}

func fromRunes(match []string, i int) string {
	if match == nil {
		return ""
	}
	return private.ReplaceAllStringFunc(match[i], func(s string) string { return string(AppendEscaped(nil, string([]byte{byte([]rune(s)[0])}))) })
}

// FuzzFormat checks that a name gives back the values that it was made of, and that two
// different sets of values never give one name.
func FuzzFormat(f *testing.F) {
	for _, seed := range [][5]string{
		{"wiki-{team}-{wiki}", "acme-west", "plans", "acme", "west-plans"},
		{"{a}2{b}", "~2D", "2", "-", "22"},
		{"{a}D{b}", "D~", "@", "D", "~D"},
		{"{a}C3{b}", "ü", "C3", "Ã", "C"},
		{"{a:int}-{b}", "-1", "-2", "1", "-2"},
		{"{a}--{b}-c", "-", "--", "--", "-"},
		{"a~{a}.{b}.", "41", ".", "4", "1."},
		{"{a}-{b:uuid}", "x", "0f8fad5b-d9cb-469f-a165-70867728950e", "x-", "0f8fad5b-d9cb-469f-a165-70867728950e"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, text, a, b, c, d string) {
		p, err := ParsePattern(text)
		if err != nil || len(p.placeholders) > 2 {
			return
		}
		var formatted []string
		var given []map[string]string
		for _, pair := range [][2]string{{a, b}, {c, d}} {
			values := map[string]string{}
			for i, name := range p.Names() {
				values[name] = pair[i]
			}
			name, err := p.Format(values)
			if err != nil {
				return
			}
			read, ok := p.Match(name)
			if !ok || !maps.Equal(read, values) || !p.Matches(name) || !ValidGroup(name) {
				t.Fatalf("%q of %q gives %q, which reads %q", text, values, name, read)
			}
			formatted, given = append(formatted, name), append(given, values)
		}
		if formatted[0] == formatted[1] && !maps.Equal(given[0], given[1]) {
			t.Fatalf("%q gives %q of %q and of %q", text, formatted[0], given[0], given[1])
		}
	})
}

// FuzzFormatParts checks the same of a key of several columns.
func FuzzFormatParts(f *testing.F) {
	f.Add("cell-{pk}", "a:b", "c", "a", "b:c")
	f.Add("{pk}.x", "a.", "~3A", "a", ".:")
	f.Fuzz(func(t *testing.T, text, a, b, c, d string) {
		p, err := ParsePattern(text)
		if err != nil || len(p.placeholders) != 1 || p.CheckParts(0, 2) != nil {
			return
		}
		var formatted [2]string
		for i, pair := range [][2]string{{a, b}, {c, d}} {
			first, err := p.AppendPart([]byte(p.Literal(0)), 0, pair[0])
			if err != nil {
				return
			}
			all, err := p.AppendPart(append(first, ':'), 0, pair[1])
			if err != nil {
				return
			}
			formatted[i] = string(all) + p.Literal(1)
			if read, ok := p.Match(formatted[i]); !ok || read[p.Names()[0]] != pair[0]+":"+pair[1] {
				t.Fatalf("%q of %q gives %q, which reads %q", text, pair, formatted[i], read)
			}
		}
		if formatted[0] == formatted[1] && (a != c || b != d) {
			t.Fatalf("%q gives %q of (%q, %q) and of (%q, %q)", text, formatted[0], a, b, c, d)
		}
	})
}

var escapedText = regexp.MustCompile(`(?s)^(?:[^~]|~[0-9A-F]{2})*$`)

// FuzzEscape compares reading a value with the escapes of URLs, and checks that a value that
// is escaped is read back.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a", "~", "~7E", "~7e", "~4", "~~41", "~FF", "~C3~BC", "ü", "a b/c", "\x00", "100%", "{a}", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := string(AppendEscaped([]byte("g-"), s))
		if value, ok := unescape(name[2:]); ok != utf8.ValidString(s) || ok && value != s {
			t.Fatalf("%q is escaped as %q, which reads %q %v", s, name, value, ok)
		}
		if len(name) <= 200 && !ValidGroup(name) {
			t.Fatalf("%q is escaped as %q, which is no name", s, name)
		}
		if strings.Contains(s, "%") || !utf8.ValidString(s) {
			return // no name has them
		}
		want, err := url.PathUnescape(strings.ReplaceAll(s, "~", "%"))
		readable := err == nil && escapedText.MatchString(s) && utf8.ValidString(want)
		if value, ok := unescape(s); ok != readable || ok && value != want {
			t.Fatalf("%q reads %q %v, want %q %v", s, value, ok, want, readable)
		}
	})
}
