package abuse

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost"
)

// attack is one attack, and what the hub does against it.
type attack struct {
	name  string
	conns int

	set func(c *rohrpost.Config) // what both hubs have; nil: nothing
	off func(c *rohrpost.Config) // takes the one defence away

	// attack runs in the other process, for each connection.
	attack func(c *client)

	code   string // that Stats.Refused counts; "": none
	closed string // that Stats.Closed counts, for all connections; "": none
	some   bool   // closed counts for some connections

	// counts is set where an attack is judged by how often it goes through: at most so often
	// with the defence, and more often without it. Others are judged by the counters.
	counts bool
	most   int64

	// measure returns how far the attack has come, in place of counting; nil: it counts.
	measure func(h *hub) int64

	// result is measure for what is looked at once, when the attack has ended.
	result func(h *hub) int64

	// prepare is called before the attack; nil: nothing is prepared.
	prepare func(h *hub, off bool)
}

const (
	fin                   = 0x80
	cont, text, binaryOp  = 0x0, 0x1, 0x2
	pingOp, pongOp, ended = 0x9, 0xA, 0x8
)

var none = rohrpost.Rate{PerSecond: -1}

func noRates(c *rohrpost.Config) {
	c.Limits.Messages, c.Limits.InboundBytes, c.Limits.ControlFrames = none, none, none
}

func manyErrors(c *rohrpost.Config) { c.Limits.MaxProtocolErrors = -1 }

// ofAddress are the headers of a client with an address.
func ofAddress(address string) string { return "X-Forwarded-For: " + address }

func floodOf(frames ...[]byte) func(c *client) {
	return func(c *client) {
		if c.open() {
			c.flood(frames...)
		}
	}
}

func keys() string {
	var b strings.Builder
	b.WriteString(`{"id":1,"type":"subscribe","data":{"group":"g"`)
	for i := 0; b.Len() < 60<<10; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	return b.String() + "}}"
}

var (
	jsonPing = frame(fin|text, `{"id":1,"type":"ping"}`)
	bigPing  = frame(fin|text, `{"id":1,"type":"ping","data":"`+strings.Repeat("x", 60<<10)+`"}`)
)

// attacks lists the rows of doc/SECURITY.md.
var attacks = []attack{
	{
		name: "pings", conns: 10, attack: floodOf(frame(fin|pingOp, "")), off: func(c *rohrpost.Config) { c.Limits.ControlFrames, c.Limits.InboundBytes = none, none },
		code: "control_frames", closed: "4029",
	},
	{
		name: "pongs", conns: 10, attack: floodOf(frame(fin|pongOp, "")), off: func(c *rohrpost.Config) { c.Limits.ControlFrames, c.Limits.InboundBytes = none, none },
		code: "control_frames", closed: "4029",
	},
	{
		name: "empty continuation frames", conns: 10, attack: func(c *client) {
			if c.open() {
				_, _ = c.conn.Write(frame(text, "{"))
				c.flood(frame(cont, ""))
			}
		},
		off: noRates, code: "messages", closed: "4029",
	},
	{name: "requests", conns: 10, attack: floodOf(jsonPing), off: noRates, code: "messages", closed: "4029"},
	{
		name: "bytes", conns: 4, attack: floodOf(bigPing), set: func(c *rohrpost.Config) { c.Limits.Messages = none }, off: noRates,
		code: "bytes", closed: "4029",
	},
	{
		name: "empty texts", conns: 10, attack: func(c *client) {
			if c.open() {
				c.each(func(int) []byte { return frame(fin|text, "") })
			}
		},
		set: noRates, off: manyErrors, code: "protocol_errors", closed: "1008",
	},
	{
		name: "binary messages", conns: 10, attack: func(c *client) {
			if c.open() {
				c.each(func(int) []byte { return frame(fin|binaryOp, "x") })
			}
		},
		set: noRates, off: manyErrors, code: "protocol_errors", closed: "1008",
	},
	{
		name: "deep documents", conns: 4, attack: floodOf(frame(fin|text, strings.Repeat("[", 60_000))), set: noRates, off: manyErrors,
		code: "protocol_errors", closed: "1008",
	},
	{
		name: "a handler that fails", conns: 4, attack: floodOf(frame(fin|text, `{"id":1,"type":"fail"}`)), off: noRates,
		code: "messages", closed: "4029",
	},
	{
		name: "guessed group names", conns: 4, attack: func(c *client) {
			if c.open() {
				c.each(func(i int) []byte {
					return frame(fin|text, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"secret-%d-%d"}}`, c.number, i))
				})
			}
		},
		set: noRates, off: func(c *rohrpost.Config) { c.Limits.RefusedGroups = none }, code: "refused_groups", closed: "4029",
	},
	{
		name: "subscribe requests full of keys", conns: 4, attack: floodOf(frame(fin|text, keys())), off: noRates,
		code: "bytes", closed: "4029",
	},
	{
		name: "hoarded replies", conns: 6, attack: func(c *client) {
			if c.dial() == 101 {
				for range 300 { // more than the system takes
					_, _ = c.conn.Write(bigPing)
				}
				<-c.ctx.Done()
			}
		},
		set: func(c *rohrpost.Config) {
			noRates(c)
			c.Limits.MaxSendQueueBytes, c.Limits.MaxQueuedBytes = 64<<20, 8<<20
		},
		off:    func(c *rohrpost.Config) { c.Limits.MaxQueuedBytes = -1 },
		closed: "4008", some: true,
	},
	{
		name: "15 pings of 60 KB whose replies nobody reads", conns: 500, attack: func(c *client) {
			if c.dial() == 101 {
				for range 15 { // within the budget of bytes
					_, _ = c.conn.Write(bigPing)
				}
				<-c.ctx.Done()
			}
		}, // the queues together may hold these replies: the row is here for its figures
	},
	{
		name: "an unfinished message with pings", conns: 50, attack: func(c *client) {
			if c.dial() != 101 {
				return
			}
			_, _ = c.conn.Write(frame(text, "{"))
			go func() {
				for c.ctx.Err() == nil {
					_, _ = c.conn.Write(frame(fin|pingOp, ""))
					time.Sleep(200 * time.Millisecond)
				}
			}()
			c.stays()
		},
		set: func(c *rohrpost.Config) { c.Limits.MessageTimeout = 500 * time.Millisecond },
		off: func(c *rohrpost.Config) { c.Limits.MessageTimeout = -1 }, code: "message_time", closed: "4029",
	},
	{
		name: "a header byte by byte", conns: 50, attack: func(c *client) {
			if c.dial() != 101 {
				return
			}
			go func() {
				for _, b := range frame(fin|text, strings.Repeat("x", 70_000))[:10] {
					_, _ = c.conn.Write([]byte{b})
					time.Sleep(200 * time.Millisecond)
				}
			}()
			c.stays()
		},
		set: func(c *rohrpost.Config) {
			c.Limits.MessageTimeout = 500 * time.Millisecond
			c.Limits.MaxMessageBytes = 1 << 20
		},
		off: func(c *rohrpost.Config) { c.Limits.MessageTimeout = -1 }, code: "message_time", closed: "4029",
	},
	{
		name: "connections of one address", conns: 300, attack: func(c *client) {
			if c.dial(ofAddress("198.51.100.7")) == 101 {
				c.stays()
			}
		},
		set: func(c *rohrpost.Config) { c.Limits.MaxConnections = 400 },
		off: func(c *rohrpost.Config) { c.Limits.TrustedProxies = nil }, code: "too_many_of_address", counts: true, most: 200,
	},
	{
		name: "connections of one user", conns: 200, attack: func(c *client) {
			if c.dial("User: mallory") == 101 {
				c.stays()
			}
		},
		off: func(c *rohrpost.Config) { c.Limits.MaxUserConnections = -1 }, code: "too_many_of_user", counts: true, most: 128,
	},
	{
		name: "slow handshakes of one address", conns: 100, attack: func(c *client) {
			for c.ctx.Err() == nil {
				if c.dial(ofAddress("198.51.100.7"), "User: slow") == 401 {
					c.through.Add(1)
				}
			}
		},
		set: func(c *rohrpost.Config) { c.Limits.MaxHandshakes, c.Limits.HandshakeTimeout = 64, 300*time.Millisecond },
		off: func(c *rohrpost.Config) { c.Limits.MaxHandshakes, c.Limits.HandshakeTimeout = -1, -1 }, code: "slow_handshake",
		counts: true, most: 8, measure: func(h *hub) int64 { return h.authenticating.Load() },
	},
	{
		name: "slow handlers of one user", conns: 100, attack: func(c *client) {
			if c.open("User: mallory") {
				_, _ = c.conn.Write(frame(fin|text, `{"id":1,"type":"slow"}`))
			}
		},
		set:    func(c *rohrpost.Config) { c.Limits.MaxFunctions = 64; c.Limits.MaxUserConnections = -1 },
		off:    func(c *rohrpost.Config) { c.Limits.MaxFunctions = -1 },
		counts: true, most: 8, measure: func(h *hub) int64 { return h.slow.Load() },
	},
	{
		name: "a page of another origin", conns: 5, attack: func(c *client) {
			for c.ctx.Err() == nil {
				if c.dial("Origin: https://evil.example") == 101 {
					c.through.Add(1)
				}
			}
		},
		off: func(c *rohrpost.Config) { c.Origins = []string{"*"} }, code: "origin", counts: true,
	},
	{
		name: "a page that hides its origin", conns: 5, attack: func(c *client) {
			for c.ctx.Err() == nil {
				if c.dial("Sec-Fetch-Site: cross-site") == 101 {
					c.through.Add(1)
				}
			}
		},
		code: "origin", counts: true,
	},
	{
		name: "a name that was pointed at the hub", conns: 5, attack: func(c *client) {
			for c.ctx.Err() == nil {
				if c.dial("Host: evil.example", "Origin: http://evil.example") == 101 {
					c.through.Add(1)
				}
			}
		},
		set: func(c *rohrpost.Config) { c.Hosts = []string{"127.0.0.1"} }, off: func(c *rohrpost.Config) { c.Hosts = nil }, code: "host", counts: true,
	},
	{
		name: "members of too many groups", conns: 4, attack: func(c *client) {
			if c.open() {
				c.each(func(i int) []byte {
					return frame(fin|text, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"mine-%d-%d"}}`, c.number, i))
				})
			}
		},
		set: noRates, off: func(c *rohrpost.Config) { c.Limits.MaxGroups = -1 }, code: "too_many_groups", counts: true, most: honest + 4*128, measure: func(h *hub) int64 { return int64(h.Stats().Memberships) },
	},
	{
		name: "churn of group names", conns: 1, attack: func(c *client) {
			if c.open() {
				c.each(func(i int) []byte {
					data := fmt.Sprintf(`"data":{"group":"churn-%d"}}`, i)
					return append(frame(fin|text, `{"id":1,"type":"subscribe",`+data), frame(fin|text, `{"id":2,"type":"unsubscribe",`+data)...)
				})
			}
		},
		set: func(c *rohrpost.Config) {
			noRates(c)
			c.History.MaxUnused = 2048
		},
		off:     func(*rohrpost.Config) {}, // see haveHistories
		prepare: haveHistories, counts: true, result: endedHistories,
	},
	{
		name: "connections gone while Allow runs", conns: 100, attack: func(c *client) {
			if c.dial(ofAddress(fmt.Sprint("198.51.100.", c.number))) == 101 {
				_, _ = c.conn.Write(frame(fin|text, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"stuck-%d"}}`, c.number)))
				time.Sleep(200 * time.Millisecond)
				c.close()
			}
		},
		set:    func(c *rohrpost.Config) { c.Limits.MaxConnections = 2*honest + 10 },
		counts: true, result: refusedDials,
	},
	{
		name: "messages that are too large", conns: 4, attack: floodOf(frame(fin|text, `{"id":1,"type":"ping","data":"`+strings.Repeat("x", 1<<20)+`"}`)),
		set: noRates, off: func(c *rohrpost.Config) { c.Limits.MaxMessageBytes, c.Limits.MaxSendQueueBytes = -1, -1 }, closed: "1009",
	},
	{
		name: "silent connections", conns: 50, attack: func(c *client) {
			if c.dial() == 101 {
				c.stays()
			}
		},
		set: func(c *rohrpost.Config) {
			c.Limits.IdleTimeout, c.PingInterval = 500*time.Millisecond, 100*time.Millisecond
		},
		off: func(c *rohrpost.Config) { c.Limits.IdleTimeout = -1 }, counts: true,
	},
	{
		name: "a request that never ends", conns: 50, attack: func(c *client) {
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				return
			}
			c.conn = conn
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: ")
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close(); c.gone.Store(true) }()
			<-c.ctx.Done()
			if !c.gone.Load() {
				c.through.Add(1)
			}
		},
		off:    func(c *rohrpost.Config) { c.Limits.HandshakeTimeout = -1 }, // a sign for the server of this test
		counts: true,
	},
}

// victims have histories, and no member at the moment.
const victims = 100

// haveHistories begins a history for each victim. The defence ends histories without messages
// first: off leaves them without.
func haveHistories(h *hub, off bool) {
	h.epochs = make(map[string]string)
	for i := range victims {
		group := fmt.Sprint("victim-", i)
		at, _ := h.Position(context.Background(), group)
		h.epochs[group] = at.Epoch
		if !off {
			_ = h.Publish(context.Background(), rohrpost.Change{Group: group, Type: rohrpost.Update, Object: i})
		}
	}
}

// endedHistories returns how many victims could not resume.
func endedHistories(h *hub) (n int64) {
	for group, epoch := range h.epochs {
		if at, err := h.Position(context.Background(), group); err != nil || at.Epoch != epoch {
			n++
		}
	}
	return n
}

// refusedDials returns how many of 100 honest clients cannot connect.
func refusedDials(h *hub) (n int64) {
	for i := range honest {
		c := &client{ctx: context.Background(), address: h.address}
		if c.dial(ofAddress(fmt.Sprint("192.0.2.", i))) != 101 {
			n++
		}
		defer c.close()
	}
	return n
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
