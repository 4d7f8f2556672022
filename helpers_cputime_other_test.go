//go:build !unix

package rohrpost

import "time"

// cpuTime returns 0: the benchmarks measure CPU time on Unix only.
func cpuTime() time.Duration { return 0 }
