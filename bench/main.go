// Command bench measures this hub beside its peers: each is a thin server in a
// process of its own, all are asked the same by one load generator, round by
// round in turn.
//
//	go run . [-quick] [-only hub,gws] [-rounds 3]
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "smaller groups and shorter rounds")
	only := flag.String("only", "", "measure `names` only, separated by commas")
	rounds := flag.Int("rounds", 3, "rounds of each scenario")
	flag.Parse()
	names := peerNames()
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if err := run(names, *rounds, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures all scenarios, each in turn on all peers, as often as there are
// rounds, and prints the medians.
func run(names []string, rounds int, quick bool) error {
	duration := 4 * time.Second
	sizes := []int{100, 1000, 10_000}
	if quick {
		duration, sizes = 1500*time.Millisecond, []int{100, 1000}
	}
	var scenarios []scenario
	for _, size := range sizes {
		scenarios = append(scenarios,
			scenario{members: size, inFlight: 64, duration: duration}, scenario{members: size, inFlight: 1, duration: duration})
	}
	for _, inFlight := range []int{1, 32} {
		scenarios = append(scenarios, scenario{members: 100, inFlight: inFlight, requests: true, duration: duration})
	}
	for _, s := range scenarios {
		able := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.requests && !peers[name].answers })
		results := map[string][]result{}
		for round := range rounds {
			for _, name := range able {
				r, err := s.measure(name)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s, name, err)
				}
				fmt.Fprintf(os.Stderr, "%s, round %d of %d: %-20s %10.0f/s %8.2f µs\n", s, round+1, rounds, name, r.rate, r.cpu)
				results[name] = append(results[name], r)
			}
		}
		if len(able) > 0 {
			report(s, able, results)
		}
	}
	return nil
}

// report prints one table of medians, and ratios to the first peer.
func report(s scenario, names []string, results map[string][]result) {
	fmt.Printf("\n### %s\n\n| server | messages/s | × %s | server CPU µs per message | generator's ceiling |\n|---|---:|---:|---:|---:|\n", s, names[0])
	first := median(results[names[0]], func(r result) float64 { return r.rate })
	for _, name := range names {
		rate := median(results[name], func(r result) float64 { return r.rate })
		ceiling := median(results[name], func(r result) float64 { return r.ceiling })
		mark := ""
		if ceiling < 1.3*rate {
			mark = ", generator-bound"
		}
		fmt.Printf("| %s | %.0f | %.2f | %.2f | %.0f%s |\n", name, rate, rate/first,
			median(results[name], func(r result) float64 { return r.cpu }), ceiling, mark)
	}
}

func median(results []result, of func(result) float64) float64 {
	var values []float64
	for _, r := range results {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
