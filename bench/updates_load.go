package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// racer is one server of a race of updates, its pages and its writers.
type racer struct {
	name    string
	server  *server
	pages   *generator
	members int
	writers []*updateWriter
}

// updateWriter is a connection on which one row is updated again and again.
type updateWriter struct {
	conn     net.Conn
	fd       int
	request  []byte
	response []byte // what has come of it
	waiting  bool   // for the response
}

// turn is what a racer has done in one turn.
type turn struct {
	updates int
	elapsed time.Duration // until the last page has everything
	cpu     time.Duration // of the server
	p50     time.Duration // from the request to the last page
}

func newRacer(r race, name string, members int, dsn string) (*racer, error) {
	s, err := startUpdates(r, name, dsn)
	if err != nil {
		return nil, err
	}
	racer := &racer{name: name, server: s, members: members}
	p := implementation{}
	if strings.HasPrefix(name, "centrifuge") {
		p = implementations["centrifuge"]
	}
	racer.pages, err = newGenerator([]string{s.address}, members, func(int) subscription { return p.subscription([]string{updatesGroup}) })
	if err != nil {
		s.stop()
		return nil, err
	}
	for id := range updateRows {
		w, err := dialWriter(s.address, id+1)
		if err == nil {
			err = racer.pages.addWriter(w)
		}
		if err != nil {
			racer.close()
			return nil, err
		}
		racer.writers = append(racer.writers, w)
	}
	return racer, nil
}

func dialWriter(address string, id int) (*updateWriter, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	w := &updateWriter{conn: conn, request: fmt.Appendf(nil, "POST /update/%d HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", id, address)}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { w.fd = int(fd) })
	}
	return w, err
}

// send sends the next request.
func (w *updateWriter) send() error {
	w.waiting, w.response = true, w.response[:0]
	_, err := syscall.Write(w.fd, w.request)
	return err
}

// receive takes bytes of the response.
func (w *updateWriter) receive(p []byte) error {
	w.response = append(w.response, p...)
	if !bytes.HasPrefix(w.response, []byte("HTTP/1.1 204 ")) {
		return fmt.Errorf("update a row: %s", w.response)
	}
	w.waiting = !bytes.HasSuffix(w.response, []byte("\r\n\r\n"))
	return nil
}

// awaitEach updates one row after another: each when all pages have the one before.
func (r *racer) awaitEach(duration time.Duration) (turn, error) {
	var latencies []time.Duration
	w := r.writers[0]
	t, err := r.measure(func(end time.Time) (int, error) {
		for time.Now().Before(end) {
			began := time.Now()
			if err := w.send(); err != nil {
				return 0, err
			}
			for due := r.members * (len(latencies) + 1); w.waiting || r.pages.received < due; {
				if err := r.pages.poll(responseTimeout); err != nil {
					return 0, err
				}
			}
			latencies = append(latencies, time.Since(began))
		}
		return len(latencies), nil
	}, duration)
	if err == nil {
		slices.Sort(latencies)
		t.p50 = latencies[len(latencies)/2]
	}
	return t, err
}

// write lets writers update rows as fast as the server answers.
func (r *racer) write(writers int, duration time.Duration) (turn, error) {
	return r.measure(func(end time.Time) (updates int, err error) {
		for {
			busy := false
			for _, w := range r.writers[:writers] {
				if !w.waiting && time.Now().Before(end) {
					if err := w.send(); err != nil {
						return 0, err
					}
					updates++
				}
				busy = busy || w.waiting
			}
			if !busy && r.pages.received == updates*r.members {
				return updates, nil
			}
			if err := r.pages.poll(responseTimeout); err != nil {
				return 0, fmt.Errorf("%d of %d deliveries: %w", r.pages.received, updates*r.members, err)
			}
		}
	}, duration)
}

func (r *racer) measure(load func(end time.Time) (updates int, err error), duration time.Duration) (turn, error) {
	r.pages.received = 0
	pid := r.server.command.Process.Pid
	cpu, began := processTime(pid), time.Now()
	updates, err := load(began.Add(duration))
	if err != nil {
		return turn{}, fmt.Errorf("%s: %w", r.name, err)
	}
	return turn{updates: updates, elapsed: time.Since(began), cpu: processTime(pid) - cpu}, nil
}

func (r *racer) close() {
	for _, w := range r.writers {
		_ = w.conn.Close()
	}
	r.pages.close()
	r.server.stop()
}

// addWriter lets poll read the responses of a writer.
func (g *generator) addWriter(w *updateWriter) error {
	if g.writers == nil {
		g.writers = map[int32]*updateWriter{}
	}
	g.writers[int32(w.fd)] = w
	return syscall.EpollCtl(g.poller, syscall.EPOLL_CTL_ADD, w.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(w.fd)})
}

// processTime returns the CPU time that a process has used, to the nanosecond: turns are
// short. It returns 0 where it cannot tell.
func processTime(pid int) time.Duration {
	var t syscall.Timespec
	_, _, failed := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^pid<<3|2), uintptr(unsafe.Pointer(&t)), 0)
	if failed != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

// startUpdates starts a server of the race with its number of processors.
func startUpdates(r race, name, dsn string) (*server, error) {
	name, binary, another := strings.Cut(name, "@")
	if !another {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	command := exec.Command(binary, "serve-updates", name, r.database, dsn)
	command.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", r.procs))
	return startCommand(command)
}

var errNoDatabase = errors.New("the database is not there")
