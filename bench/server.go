package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// collectGarbage is the command for a garbage collection, instead of a number of
// messages.
const collectGarbage = -1

// server is an implementation in its own process. A line with a number on its standard
// input makes it publish that many messages; collectGarbage makes it collect garbage.
type server struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	address string
}

func start(name string, s scenario) (*server, error) {
	command, err := implementations[name].command(name, max(s.groups, 1))
	if err != nil {
		return nil, err
	}
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", bufferEnv, s.sendBuffer), fmt.Sprintf("%s=%d", titleEnv, s.titleSize))
	return startCommand(command)
}

// startCommand starts a server, which prints its address.
func startCommand(command *exec.Cmd) (_ *server, err error) {
	command.Stderr = os.Stderr
	started := &server{command: command}
	if started.input, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	started.output = bufio.NewReader(output)
	if started.address, err = started.readLine(); err != nil {
		started.stop()
		return nil, err
	}
	return started, nil
}

func (s *server) readLine() (string, error) {
	line, err := s.output.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read from the server: %w", err)
	}
	return strings.TrimSpace(line), nil
}

func (s *server) publish(count int) error {
	_, err := fmt.Fprintln(s.input, count)
	return err
}

// resident returns the resident memory of the server after a garbage collection, in
// bytes.
func (s *server) resident() (int, error) {
	if err := s.publish(collectGarbage); err != nil {
		return 0, err
	}
	if _, err := s.readLine(); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize(), err
}

// stop closes the input of the server and kills it if it does not end within a second.
func (s *server) stop() {
	_ = s.input.Close()
	kill := time.AfterFunc(time.Second, func() { _ = s.command.Process.Kill() })
	_ = s.command.Wait()
	kill.Stop()
}

// cpuTime returns the CPU time that a process has used.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks
}
