//go:build unix

package enginefaults

import (
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Server is the process of a private server, which a test may kill, stop, and start again.
// Its methods fail the test if that cannot be done.
type Server struct {
	T testing.TB

	// Command returns the command that runs the server. Required.
	Command func() *exec.Cmd

	// Answers reports whether the server takes requests. Required.
	Answers func() bool

	// EndsBy is the signal by which the server ends in order. Defaults to SIGTERM.
	EndsBy syscall.Signal

	process *exec.Cmd
}

// Start starts the server, and returns when it answers. The server ends with the test.
func (s *Server) Start() {
	s.process = s.Command()
	require.NoError(s.T, s.process.Start())
	s.T.Cleanup(s.Kill)
	require.Eventually(s.T, s.Answers, time.Minute, 20*time.Millisecond, "the server answers")
}

// Kill kills the server with SIGKILL.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// End lets the server end in order.
func (s *Server) End() {
	if s.EndsBy == 0 {
		s.EndsBy = syscall.SIGTERM
	}
	s.Signal(s.EndsBy)
	_ = s.process.Wait()
}

// Signal sends a signal to the server.
func (s *Server) Signal(what syscall.Signal) {
	require.NoError(s.T, s.process.Process.Signal(what))
}

// Pid returns the number of the process.
func (s *Server) Pid() int { return s.process.Process.Pid }

// FreePort returns a port of this machine that is free now. It lies below those that the
// system gives to connections, one of which could take it while the server is away.
func FreePort(t testing.TB) (port int) {
	require.Eventually(t, func() bool {
		port = 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		return err == nil && l.Close() == nil
	}, 10*time.Second, time.Millisecond)
	return port
}

// Listens reports whether a program listens at an address.
func Listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// Engine is a server whose data can be put back.
type Engine interface {
	Start()
	Kill()
	End()
	Signal(what syscall.Signal)

	// Restore copies the data, calls meanwhile, and starts the server with the copy.
	Restore(meanwhile func())
}

// RunEach lets an engine fail in each way, some times, and each time a new one: start
// returns it with its Config, but for Fault and Log.
func RunEach(t *testing.T, times int, start func(t *testing.T) (Engine, Config)) {
	for name, fault := range map[string]func(e Engine, meanwhile func()){
		"kill": func(e Engine, _ func()) { e.Kill(); e.Start() },
		"stop": func(e Engine, _ func()) {
			e.Signal(syscall.SIGSTOP)
			time.Sleep(5 * time.Second)
			e.Signal(syscall.SIGCONT)
		},
		"restart":      func(e Engine, _ func()) { e.End(); time.Sleep(time.Second); e.Start() },
		"back-in-time": func(e Engine, meanwhile func()) { e.Restore(meanwhile) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range times {
				t.Run(strconv.Itoa(i+1), func(t *testing.T) { // its servers and hubs end with it
					e, c := start(t)
					c.Fault, c.Log = func(meanwhile func()) { fault(e, meanwhile) }, t.Output()
					r := Run(t, c)
					t.Logf("%d expected, %d delivered, %d loaded, back after %v, recovered %d, not %v, resyncs %v",
						r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.Recovered, r.NotRecovered, r.Resyncs)
				})
			}
		})
	}
}
