package sockio

import (
	"encoding/binary"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	// maxYield is the longest that Yield waits where others have more to do than that, as the
	// calls before have shown.
	maxYield = time.Millisecond

	// crowdedYields is how often Yield polls with a deadline after a call that took longer: then
	// all processors are busy, and goroutines that never wait could run one after another.
	crowdedYields = 32
)

// Yielder lets other goroutines run. The zero value is ready. It is for one goroutine.
type Yielder struct {
	// Poll makes Yield wait until the runtime has looked at the network.
	// runtime.Gosched does not let it look as long as any goroutine can run: with one processor, a goroutine that
	// only calls Gosched leaves the sockets of all others unnoticed for 10 ms.
	Poll bool

	event   *os.File // of eventfd(2); nil: none is open
	raw     syscall.RawConn
	pass    func(fd uintptr) (done bool)
	one     [8]byte // what an event adds to the count of eventfd
	sent    bool
	crowded int // calls of Yield that poll with a deadline
}

// Yield lets other goroutines run.
func (y *Yielder) Yield() {
	began := time.Now()
	if (y.Poll || y.crowded > 0) && y.open() {
		y.poll()
	} else {
		runtime.Gosched()
	}
	if time.Since(began) > maxYield {
		y.crowded = crowdedYields
	}
}

// poll waits for an event that it sends to itself: the goroutine gets it when the runtime looks
// at the network, together with what has come for others. There is a deadline only where
// waits take long: the timer would cost more than all else.
func (y *Yielder) poll() {
	if y.crowded > 0 {
		_ = y.event.SetReadDeadline(time.Now().Add(maxYield))
		defer y.endDeadline()
	}
	y.sent = false
	if err := y.raw.Read(y.pass); err != nil && !y.sent { // in a bubble of synctest, whose time is another
		runtime.Gosched()
	}
}

func (y *Yielder) endDeadline() {
	if y.crowded--; y.crowded == 0 {
		_ = y.event.SetReadDeadline(time.Time{})
	}
}

// open opens the file, unless it is open. It fails if no file can be opened.
func (y *Yielder) open() bool {
	if y.event != nil {
		return true
	}
	fd, _, failed := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if failed != 0 {
		return false
	}
	y.event, y.pass = os.NewFile(fd, "eventfd"), y.passNow
	binary.NativeEndian.PutUint64(y.one[:], 1)
	var err error
	if y.raw, err = y.event.SyscallConn(); err != nil {
		y.Close()
		return false
	}
	return true
}

// passNow sends the event, and is called again when it has come. Nobody reads the count, which
// has room for all events: each write is one.
func (y *Yielder) passNow(fd uintptr) (done bool) {
	if y.sent {
		return true
	}
	y.sent = true
	_, err := ignoringInterrupts(syscall.Write, int(fd), y.one[:])
	return err != nil
}

// Close closes the file. Yield opens another one.
func (y *Yielder) Close() {
	if y.event != nil {
		_ = y.event.Close()
		*y = Yielder{Poll: y.Poll}
	}
}
