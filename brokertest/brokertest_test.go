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

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/brokertest"
)

// What is written down in both packages is one type.
var (
	_ rohrpost.Broker   = brokertest.Broker(nil)
	_ brokertest.Broker = rohrpost.Broker(nil)
)

const variantEnv = "ROHRPOST_BROKERTEST_VARIANT"

// variants are wrong in one way each, and what must notice it.
var variants = map[string]string{
	"keeps messages of another epoch":  "a_given_position_of_another_epoch_begins_it",
	"appends an old offset":            "a_given_position_is_appended_if_it_is_the_next",
	"lets a hole be":                   "a_given_position_is_appended_if_it_is_the_next",
	"forgets IDs":                      "the_same_ID_is_not_appended_twice",
	"delivers again what it has":       "the_same_ID_is_not_appended_twice",
	"leaves a hole":                    "offsets_are_1,_2,_3_and_so_on",
	"numbers plain messages":           "plain_messages_have_no_offset_and_are_not_kept",
	"loses binary payloads":            "payloads_arrive_as_they_are",
	"changes the batch of the caller":  "the_caller_may_use_the_batch_again",
	"trims the middle":                 "History_is_the_end_of_the_stream_without_a_hole",
	"splits batches":                   "a_batch_stays_together_and_in_order",
	"merges batches":                   "a_batch_stays_together_and_in_order",
	"reorders a batch":                 "a_batch_stays_together_and_in_order",
	"delivers concurrently":            "deliver_is_called_with_one_batch_at_a_time",
	"delivers what nobody wants":       "what_is_published_after_Unsubscribe_is_not_delivered",
	"ignores Unsubscribe":              "what_is_published_after_Unsubscribe_is_not_delivered",
	"does not count Subscribe":         "Subscribe_is_counted",
	"returns an old position":          "delivery_begins_right_after_the_position_that_Subscribe_returns",
	"begins with the same epoch":       "an_epoch_never_comes_back",
	"begins with offset 1":             "a_stream_begins_with_Subscribe_and_an_epoch",
	"goes on when a stream ends":       "a_stream_that_begins_again_has_another_epoch",
	"Positions leaves out the unknown": "Positions_are_those_of_the_streams_asked_for,_in_their_order",
	"History includes the offset":      "History_has_what_is_after_an_offset,_oldest_first,_up_to_the_limit",
	"History has no limit":             "History_has_what_is_after_an_offset,_oldest_first,_up_to_the_limit",
	"History cuts the oldest":          "History_has_what_is_after_an_offset,_oldest_first,_up_to_the_limit",
	"History goes backwards":           "History_has_what_is_after_an_offset,_oldest_first,_up_to_the_limit",
	"Run hides why it ended":           "Run_ends_with_its_context_and_says_so",
	"unsubscribes all hubs":            "several_hubs:_each_has_subscriptions_of_its_own",
}

func config(wrong string) brokertest.Config {
	return brokertest.Config{
		Open: func(*testing.T) brokertest.Broker {
			return newSimple(&store{wrong: wrong, at: map[string]*stream{}})
		},
		Peer: func(_ *testing.T, b brokertest.Broker) brokertest.Broker { return newSimple(b.(*simple).store) },
		End:  func(_ *testing.T, b brokertest.Broker, stream string) { b.(*simple).end(stream) },
	}
}

func TestSimple(t *testing.T) { brokertest.Run(t, config("")) }

// TestKeepsNothing: a broker without positions is one too.
func TestKeepsNothing(t *testing.T) { brokertest.Run(t, config("keeps nothing")) }

// TestVariantsAreCaught shows that the suite can fail: each wrong broker does, in
// a process of its own, and by the clause that it does not keep.
func TestVariantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the suite once for each variant")
	}
	for wrong, clause := range variants {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestVariant$")
			command.Env = append(os.Environ(), variantEnv+"="+wrong)
			output, err := command.CombinedOutput()
			require.NoError(t, ctx.Err(), "it must fail, not hang")
			require.Error(t, err, "the variant was not caught")
			assert.NotContains(t, string(output), "panic:", "it must fail, not break")
			assert.Contains(t, string(output), "--- FAIL: TestVariant/"+clause)
		})
	}
}

// TestVariant is the other process of TestVariantsAreCaught.
func TestVariant(t *testing.T) {
	wrong := os.Getenv(variantEnv)
	if wrong == "" {
		t.Skip("runs in a process that TestVariantsAreCaught starts")
	}
	c := config(wrong)
	c.Patience = time.Second
	brokertest.Run(t, c)
}

// TestEveryVariantIsTested: none is only written down in the simple broker.
func TestEveryVariantIsTested(t *testing.T) {
	source, err := os.ReadFile("simple_test.go")
	require.NoError(t, err)
	for _, part := range strings.Split(string(source), `b.is("`)[1:] {
		if wrong, _, _ := strings.Cut(part, `"`); wrong != "keeps nothing" {
			assert.Contains(t, variants, wrong)
		}
	}
}
