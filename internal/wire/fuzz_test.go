package wire

import (
	"bytes"
	"encoding/json"
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

var groupName = regexp.MustCompile(`^[A-Za-z0-9_.:\-]{1,200}$`)

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
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, group string) {
		p, err := ParsePattern(text)
		if err != nil || !ValidGroup(group) {
			return
		}
		got, ok := p.Match(group)
		m := patternOracle(p).FindStringSubmatch(group)
		if ok != (m != nil) {
			t.Fatalf("%q matches %q: %v", text, group, ok)
		}
		for i, name := range p.names {
			if ok && got[name] != m[i+1] {
				t.Fatalf("%q on %q: %s is %q, want %q", text, group, name, got[name], m[i+1])
			}
		}
	})
}

func patternOracle(p Pattern) *regexp.Regexp {
	re := "^" + regexp.QuoteMeta(p.literals[0])
	for _, literal := range p.literals[1:] {
		re += "(.+?)" + regexp.QuoteMeta(literal)
	}
	return regexp.MustCompile(re + "$")
}
