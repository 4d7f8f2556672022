package natsbroker

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

func TestVersion(t *testing.T) {
	for version, remedy := range map[string]string{
		"2.12.0": "", "2.12.2": "", "2.15.3": "", "3.0.0": "", "2.14.0-RC.1": "",
		"2.9.10": "has version 2.9.10: it must be 2.12 or later", "2.11.9": "2.12 or later",
		"1.4.1": "2.12 or later", "2.12.1": "use a later one", "": `version ""`, "main": "2.12 or later",
	} {
		if err := checkVersion(version); remedy == "" {
			assert.NoError(t, err, version)
		} else {
			assert.ErrorContains(t, err, remedy, version)
		}
	}
}

// FuzzEscape makes one token of a subject of each key, and another one of each other key.
func FuzzEscape(f *testing.F) {
	for _, key := range []string{"a", "a.b", "*", ">", "=", "=2E", " ", "", "$SYS"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		token := escape(key)
		assert.False(t, strings.ContainsAny(token, " .*>\t\r\n"))
		back, err := unescape(token)
		require.NoError(t, err)
		assert.Equal(t, key, back)
	})
}

// FuzzParseLive reads subjects that anybody may publish to.
func FuzzParseLive(f *testing.F) {
	s := newSubjects("shop")
	for _, subject := range []string{s.live("e", "a.b"), "rohrpost.shop.live.e.n.s", "rohrpost.shop.live.e.m.=2", "rohrpost.shop.live.a.b", "x", ""} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		era, kind, key, ok := s.parseLive(subject)
		if ok && kind == "m" {
			again, _, back, ok := s.parseLive(s.live(era, key))
			assert.True(t, ok && again == era && back == key)
		}
	})
}

// TestReceiver makes batches of what JetStream publishes.
func TestReceiver(t *testing.T) {
	var batches [][]string
	s := newSubjects("shop")
	b := &Broker{subjects: s, followed: map[string]bool{"a": true, "b": true}}
	r := &receiver{broker: b, era: "e", deliver: func(batch []broker.Message) {
		var texts []string
		for _, m := range batch {
			texts = append(texts, m.Stream+string(m.Payload))
		}
		batches = append(batches, texts)
	}}
	message := func(stream, id, place, sequence, payload string) *nats.Msg {
		m := nats.NewMsg(s.live("e", stream))
		m.Data = []byte(payload)
		m.Header.Set("Nats-Sequence", sequence)
		m.Header.Set("Nats-Last-Sequence", "0")
		m.Header.Set(headerID, id)
		if place != "" {
			m.Header.Set(headerBatch, place)
		}
		return m
	}
	end := nats.NewMsg(s.prefix + "live.e.n.s")
	begin := message("a", "9", "", "9", "")
	begin.Header.Set(headerLast, "0")
	for _, m := range []*nats.Msg{
		message("a", "1", "0", "1", "A"), message("b", "1", "0", "2", "B"), message("a", "1", "1", "3", "C"), end, end,
		message("c", "2", "0", "4", "not followed"), end,
		message("a", "3", "0", "5", "its end is lost"), message("a", "4", "0", "6", "D"),
		message("a", "5", "", "7", ""), message("b", "5", "", "8", ""), begin,
		{Subject: s.live("e", "a")},
		{Subject: s.live("e", "a"), Header: nats.Header{"Nats-Sequence": {"x"}}},
		{Subject: "other"},
		{Subject: s.live(signalEra, "b"), Data: []byte("signal")},
		{Subject: s.live(signalEra, "c")},
	} {
		require.NoError(t, r.receive(m))
	}
	assert.Equal(t, [][]string{{"aA", "bB"}, {"aC"}, {"aits end is lost"}, {"aD"}, {"a"}, {"b"}, {"bsignal"}}, batches)
	assert.ErrorIs(t, r.receive(&nats.Msg{Subject: s.live("f", "a")}), errRenewed)
}
