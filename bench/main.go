// Command bench compares rohrpost with other WebSocket servers. Each implementation is
// a minimal server in its own process. One load generator runs the same scenarios on
// all of them, alternating between them in each round.
//
//	go run . [-quick] [-write] [-only hub,gws] [-scenario text] [-rounds 3] [-before binary]
//
// The command updates races from the request that updates a row to the last page that
// shows it, on SQLite and PostgreSQL.
//
//	go run . updates [-quick] [-write] [-databases SQLite] [-procs 1] [-pages 1,100] [-only tag,tag@binary]
//
// The command nodes compares two hubs that share an engine with one hub, and with two
// nodes of centrifuge on Redis.
//
//	go run . nodes [-quick] [-write] [-only redis,centrifuge] [-scenario burst]
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
	if len(os.Args) == 5 && os.Args[1] == "serve-updates" {
		if err := serveUpdates(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "serve-node" {
		if err := serveNode(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		return
	}
	commands := map[string]func(arguments []string) error{"updates": runUpdates, "nodes": runNodes}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		if err := commands[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "use smaller groups and shorter rounds")
	only := flag.String("only", "", "measure only the implementations with these `names`, separated by commas")
	filter := flag.String("scenario", "", "measure only scenarios whose names contain this `text`")
	rounds := flag.Int("rounds", 3, "number of rounds per scenario")
	writeReport := flag.Bool("write", false, "write the tables and the chart to doc/")
	before := flag.String("before", "", "also measure the hub of another build of this command, a `binary`, as hub-before")
	flag.Parse()
	names := implementationNames()
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if *before != "" {
		another := implementations["hub"]
		another.binary = *before
		implementations["hub"+beforeSuffix] = another
		names = append(names, "hub"+beforeSuffix)
	}
	for _, name := range names {
		if p, known := implementations[name]; !known || !p.available() {
			fmt.Fprintf(os.Stderr, "bench: %s is unknown or not installed; available: %s\n", name, strings.Join(implementationNames(), ", "))
			os.Exit(2)
		}
	}
	chosen := slices.DeleteFunc(scenarios(*quick), func(s scenario) bool { return !strings.Contains(s.String(), *filter) })
	reports := run(chosen, names, *rounds)
	if !*writeReport {
		return
	}
	if err := write(reports, "../doc/BENCHMARKS.md", "../doc/benchmarks.svg"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenarios returns all scenarios.
func scenarios(quick bool) []scenario {
	duration := 2500 * time.Millisecond
	sizes, maxMembers := []int{100, 1000, 10_000}, 10_000
	// Long and large enough that the server closes a connection that does not read.
	large := scenario{kind: fixedRate, members: 1000, messageRate: 20, titleSize: 16 << 10, sendBuffer: 64 << 10, duration: 3 * duration}
	if quick {
		duration, sizes, maxMembers = 300*time.Millisecond, []int{1000}, 1000
		large = scenario{kind: fixedRate, members: 100, messageRate: 200, titleSize: 16 << 10, sendBuffer: 64 << 10, duration: 3 * duration}
	}
	stalled := large
	stalled.stalled = true
	var all []scenario
	for _, size := range sizes {
		all = append(all,
			scenario{members: size, inFlight: 64, duration: duration}, scenario{members: size, inFlight: 1, duration: duration})
	}
	return append(
		all,
		scenario{members: maxMembers, groups: maxMembers, inFlight: 256, duration: duration},
		scenario{members: 100, groups: 100, groupsPerConn: 100, inFlight: 64, duration: duration},
		scenario{kind: requests, members: 100, inFlight: 1, duration: duration},
		scenario{kind: requests, members: 100, inFlight: 32, duration: duration},
		scenario{kind: fixedRate, members: 1000, messageRate: 50, duration: duration},
		large, stalled,
		scenario{kind: idle, members: maxMembers},
		scenario{kind: churn, members: 1, inFlight: 8, duration: duration},
	)
}

// run measures each scenario on all implementations, alternating between them in each
// round, and prints the medians. It drops an implementation that fails from the scenario.
func run(scenarios []scenario, names []string, rounds int) (reports []report) {
	for _, s := range scenarios {
		supported := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !s.supportedBy(implementations[name]) })
		results := map[string][]result{}
		for round := range rounds {
			for _, name := range rotated(supported, round) { // so that none is always first
				r, err := s.measure(name)
				if err != nil { // continue with the others
					fmt.Fprintf(os.Stderr, "%s, round %d of %d: %-20s failed: %v\n", s, round+1, rounds, name, err)
					supported = slices.DeleteFunc(supported, func(other string) bool { return other == name })
					continue
				}
				fmt.Fprintf(os.Stderr, "%s, round %d of %d: %-20s %s\n", s, round+1, rounds, name, r)
				results[name] = append(results[name], r)
			}
		}
		if len(supported) > 0 {
			r := report{s, supported, results}
			fmt.Println("\n" + r.table())
			reports = append(reports, r)
		}
	}
	return reports
}

// rotated returns the names, starting with a different one in each round.
func rotated(names []string, round int) []string {
	first := round % max(len(names), 1)
	return slices.Concat(names[first:], names[:first])
}
