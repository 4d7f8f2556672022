package brokertest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
)

const defectEnv = "ROHRPOST_BROKERTEST_DEFECT"

// defects maps each defect of a simple broker to the subtest that must find it.
var defects = map[string]string{
	"keeps messages of another epoch":          "a_message_with_a_position_of_another_epoch_begins_that_epoch",
	"appends an old offset":                    "a_message_with_a_position_is_appended_if_it_is_the_next_one",
	"accepts a hole":                           "a_message_with_a_position_is_appended_if_it_is_the_next_one",
	"ignores IDs":                              "a_message_with_the_ID_of_a_kept_message_is_not_appended",
	"delivers a duplicate":                     "a_message_with_the_ID_of_a_kept_message_is_not_appended",
	"skips an offset":                          "offsets_are_1,_2,_3_and_so_on",
	"gives offsets to plain messages":          "plain_messages_have_no_offset_and_are_not_kept",
	"drops bytes that are not UTF-8":           "payloads_are_delivered_and_kept_unchanged",
	"changes the batch of the caller":          "the_caller_may_reuse_the_batch_of_Publish",
	"drops messages in the middle":             "the_broker_keeps_the_latest_messages_without_a_hole",
	"splits batches":                           "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"merges batches":                           "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"reorders a batch":                         "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"delivers concurrently":                    "Run_delivers_one_batch_at_a_time",
	"delivers unsubscribed streams":            "messages_published_after_Unsubscribe_are_not_delivered",
	"ignores Unsubscribe":                      "messages_published_after_Unsubscribe_are_not_delivered",
	"does not count Subscribe":                 "the_broker_counts_the_calls_of_Subscribe",
	"returns an old position":                  "delivery_begins_right_after_the_position_that_Subscribe_returns",
	"begins each stream with the same epoch":   "an_epoch_is_never_used_again",
	"begins with offset 1":                     "Subscribe_begins_a_stream_with_an_epoch",
	"keeps the epoch of a stream that ends":    "a_stream_that_begins_again_has_another_epoch",
	"Positions leaves out unknown streams":     "Positions_returns_the_positions_of_the_given_streams_in_their_order",
	"History includes the offset":              "History_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"History ignores the limit":                "History_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"History omits the oldest above the limit": "History_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"History returns the newest first":         "History_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"Run returns nil":                          "Run_returns_the_error_of_its_context",
	"unsubscribes all hubs":                    "several_hubs:_each_has_its_own_subscriptions",
}

// config configures the tests of a simple broker with a defect; "" is none.
func config(defect string) brokertest.Config {
	return brokertest.Config{
		Open: func(*testing.T) broker.Broker {
			return newSimple(&store{defect: defect, streams: map[string]*stream{}})
		},
		Peer:      func(_ *testing.T, b broker.Broker) broker.Broker { return newSimple(b.(*simple).store) },
		EndStream: func(_ *testing.T, b broker.Broker, stream string) { b.(*simple).endStream(stream) },
	}
}

func TestSimple(t *testing.T) { brokertest.Run(t, config("")) }

// TestKeepsNothing shows that a broker without positions keeps the contract too.
func TestKeepsNothing(t *testing.T) { brokertest.Run(t, config("keeps nothing")) }

// TestDefectsAreFound shows that the suite finds each defect, by the subtest of the
// clause that the broker breaks. Each suite must fail, and so runs in a process of its
// own.
func TestDefectsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the suite once for each defect")
	}
	for defect, clause := range defects {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestDefect$")
			command.Env = append(os.Environ(), defectEnv+"="+defect)
			output, err := command.CombinedOutput()
			require.NoError(t, ctx.Err(), "the suite must not hang")
			require.Error(t, err, "the suite must find the defect")
			assert.NotContains(t, string(output), "panic:", "the suite must not panic")
			assert.Contains(t, string(output), "--- FAIL: TestDefect/"+clause)
		})
	}
}

// TestDefect runs in the processes that TestDefectsAreFound starts.
func TestDefect(t *testing.T) {
	defect := os.Getenv(defectEnv)
	if defect == "" {
		t.Skip("runs only in the processes that TestDefectsAreFound starts")
	}
	c := config(defect)
	c.Timeout = time.Second
	brokertest.Run(t, c)
}

// TestEveryDefectIsTested compares the defects of the simple broker with the table.
func TestEveryDefectIsTested(t *testing.T) {
	source, err := os.ReadFile("simple_test.go")
	require.NoError(t, err)
	for _, part := range strings.Split(string(source), `b.has("`)[1:] {
		if defect, _, _ := strings.Cut(part, `"`); defect != "keeps nothing" {
			assert.Contains(t, defects, defect)
		}
	}
}
