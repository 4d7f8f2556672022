// Command bench measures this hub beside its peers: each is a thin server in a
// process of its own, all are asked the same by one load generator, round by
// round in turn.
//
//	go run . [-quick] [-write] [-only hub,gws] [-scenario text] [-rounds 3] [-before binary]
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		groups, _ := strconv.Atoi(os.Args[3])
		if err := serve(os.Args[2], max(groups, 1)); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "smaller groups and shorter rounds")
	only := flag.String("only", "", "measure `names` only, separated by commas")
	part := flag.String("scenario", "", "measure scenarios only whose names contain this `text`")
	rounds := flag.Int("rounds", 3, "rounds of each scenario")
	writes := flag.Bool("write", false, "write tables and chart into doc/")
	before := flag.String("before", "", "measure also the hub of another build of this command, a `binary`, as hub-before")
	flag.Parse()
	names := peerNames()
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if *before != "" {
		another := peers["hub"]
		another.binary = *before
		peers["hub"+beforeSuffix] = another
		names = append(names, "hub"+beforeSuffix)
	}
	for _, name := range names {
		if p, known := peers[name]; !known || !p.runs() {
			fmt.Fprintf(os.Stderr, "bench: %s is unknown, or what it needs is not there; there are %s\n", name, strings.Join(peerNames(), ", "))
			os.Exit(2)
		}
	}
	chosen := slices.DeleteFunc(scenarios(*quick), func(s scenario) bool { return !strings.Contains(s.String(), *part) })
	reports := run(chosen, names, *rounds)
	if !*writes {
		return
	}
	if err := write(reports, "../doc/BENCHMARKS.md", "../doc/benchmarks.svg"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenarios are all that is measured.
func scenarios(quick bool) []scenario {
	duration := 2500 * time.Millisecond
	sizes, crowd := []int{100, 1000, 10_000}, 10_000
	// So long, and so much, that one that does not read is closed.
	beside := scenario{kind: paced, members: 1000, pace: 20, title: 16 << 10, buffer: 64 << 10, duration: 3 * duration}
	if quick {
		duration, sizes, crowd = 300*time.Millisecond, []int{1000}, 1000
		beside = scenario{kind: paced, members: 100, pace: 200, title: 16 << 10, buffer: 64 << 10, duration: 3 * duration}
	}
	stuck := beside
	stuck.stuck = true
	var all []scenario
	for _, size := range sizes {
		all = append(all,
			scenario{members: size, inFlight: 64, duration: duration}, scenario{members: size, inFlight: 1, duration: duration})
	}
	return append(
		all,
		scenario{members: crowd, groups: crowd, inFlight: 256, duration: duration},
		scenario{members: 100, groups: 100, each: 100, inFlight: 64, duration: duration},
		scenario{kind: requests, members: 100, inFlight: 1, duration: duration},
		scenario{kind: requests, members: 100, inFlight: 32, duration: duration},
		scenario{kind: paced, members: 1000, pace: 50, duration: duration},
		beside, stuck,
		scenario{kind: idle, members: crowd},
		scenario{kind: churn, members: 1, inFlight: 8, duration: duration},
	)
}

// run measures all scenarios, each in turn on all peers, as often as there are
// rounds, and prints the medians. A server that fails is left out of the scenario.
func run(scenarios []scenario, names []string, rounds int) (reports []report) {
	for _, s := range scenarios {
		able := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !s.able(peers[name]) })
		results := map[string][]result{}
		for round := range rounds {
			for _, name := range turned(able, round) { // nobody is always the first
				r, err := s.measure(name)
				if err != nil { // that is a result too: the others go on
					fmt.Fprintf(os.Stderr, "%s, round %d of %d: %-20s fails: %v\n", s, round+1, rounds, name, err)
					able = slices.DeleteFunc(able, func(other string) bool { return other == name })
					continue
				}
				fmt.Fprintf(os.Stderr, "%s, round %d of %d: %-20s %s\n", s, round+1, rounds, name, r)
				results[name] = append(results[name], r)
			}
		}
		if len(able) > 0 {
			r := report{s, able, results}
			fmt.Println("\n" + r.table())
			reports = append(reports, r)
		}
	}
	return reports
}

// turned returns the names, beginning with another one each round.
func turned(names []string, round int) []string {
	first := round % max(len(names), 1)
	return slices.Concat(names[first:], names[:first])
}
