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
	"begins a stream with Read":              "Follow_begins_a_stream_with_an_epoch",
	"begins each stream with the same epoch": "an_epoch_is_never_used_again",
	"keeps the epoch of a stream that ends":  "a_stream_that_begins_again_has_another_epoch",
	"Positions leaves out unknown streams":   "Positions_and_Follow_return_the_positions_of_the_given_streams_in_their_order",
	"returns no positions":                   "Follow_begins_a_stream_with_an_epoch",
	"keeps its epochs after a restore":       "an_engine_that_has_gone_back_in_time_begins_new_epochs",
	"takes offsets for a chain":              "offsets_go_up,_and_Prev_is_the_offset_before",
	"repeats an offset":                      "offsets_go_up,_and_Prev_is_the_offset_before",
	"splits batches":                         "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"merges batches":                         "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"reorders a batch":                       "the_messages_of_a_batch_are_delivered_together_and_in_order",
	"drops empty messages":                   "an_empty_message_moves_the_position",
	"drops bytes that are not UTF-8":         "payloads_are_delivered_and_kept_unchanged",
	"changes the messages of the caller":     "the_caller_may_reuse_the_batches_of_Publish",
	"keeps signals":                          "signals_are_delivered_and_not_kept",
	"takes a number again":                   "a_batch_whose_number_is_not_greater_than_the_last_one_is_dropped",
	"refuses to skip numbers":                "the_numbers_of_a_source_may_skip",
	"has one numbering":                      "each_source_has_its_own_numbers",
	"forgets what it has taken":              "Taken_returns_the_number_of_the_last_batch",
	"Taken does not return":                  "Taken_returns_the_number_of_the_last_batch",
	"takes a part of a refused batch":        "a_refused_batch_is_named,_and_nothing_after_it_is_taken",
	"counts a refused batch":                 "a_refused_batch_is_named,_and_nothing_after_it_is_taken",
	"does not name the refused batch":        "a_refused_batch_is_named,_and_nothing_after_it_is_taken",
	"takes a batch again after a restore":    "a_batch_that_was_tried_in_an_epoch_that_has_ended_is_refused",
	"refuses all batches that were tried":    "a_batch_that_was_tried_in_an_epoch_that_has_ended_is_refused",
	"Read includes the offset":               "Read_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"Read ignores the limit":                 "Read_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"Read omits the oldest above the limit":  "Read_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"Read returns the newest first":          "Read_returns_the_messages_after_an_offset,_oldest_first,_up_to_the_limit",
	"drops messages in the middle":           "the_broker_keeps_the_latest_messages_without_a_hole",
	"Run returns nil":                        "Run_returns_the_error_of_its_context",
	"panics":                                 "Run_returns_the_error_of_its_context",
	"is never ready":                         "Run_returns_the_error_of_its_context",
	"is ready twice":                         "Run_returns_the_error_of_its_context",
	"ends a stream with Unfollow":            "the_followed_streams_are_a_set",
	"delivers unfollowed streams":            "messages_published_after_Unfollow_are_not_delivered",
	"ignores Unfollow":                       "messages_published_after_Unfollow_are_not_delivered",
	"returns an old position":                "delivery_begins_right_after_the_position_that_Follow_returns",
	"delivers concurrently":                  "Run_delivers_one_batch_at_a_time",
	"is ready before it listens":             "Run_calls_ready_before_it_delivers_what_is_published",
	"numbers each hub":                       "several_hubs:_the_numbers_of_a_source_count_for_all",
	"publishes only in Run":                  "several_hubs:_one_that_never_calls_Run_may_publish_and_read",
	"delivers to one hub":                    "several_hubs:_each_gets_the_messages_of_all_in_one_order",
	"unfollows for all hubs":                 "several_hubs:_each_follows_its_own_streams",
}

// config configures the tests of a simple broker with a defect; "" is none.
func config(defect string) brokertest.Config {
	return brokertest.Config{
		Open:      func(*testing.T) broker.Broker { return newSimple(newStore(defect)) },
		Peer:      func(_ *testing.T, b broker.Broker) broker.Broker { return newSimple(b.(*simple).store) },
		EndStream: func(_ *testing.T, b broker.Broker, stream string) { b.(*simple).endStream(stream) },
		Restore:   func(_ *testing.T, b broker.Broker, meanwhile func()) { b.(*simple).restore(meanwhile) },
	}
}

func TestSimple(t *testing.T) { brokertest.Run(t, config("")) }

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
			assert.NotContains(t, string(output), "panic: ", "the suite must not panic")
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
	c.Patience = 300 * time.Millisecond
	brokertest.Run(t, c)
}

// TestEveryDefectIsTested compares the defects of the simple broker with the table.
func TestEveryDefectIsTested(t *testing.T) {
	source, err := os.ReadFile("simple_test.go")
	require.NoError(t, err)
	for _, part := range strings.Split(string(source), `b.has("`)[1:] {
		defect, _, _ := strings.Cut(part, `"`)
		assert.Contains(t, defects, defect)
	}
}
