package sockio

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	// maxYield is the longest that Yield waits, where others have more to do than that.
	maxYield = time.Millisecond

	// crowdedYields is how often Yield polls after one that took longer: then all processors
	// are busy, and goroutines that never wait could run one after another.
	crowdedYields = 32
)

// Yielder lets other goroutines run. The zero value is ready. It is for one goroutine.
type Yielder struct {
	// Poll makes Yield wait until the runtime has looked at the network, 1 ms at most.
	// runtime.Gosched does not let it look as long as any goroutine can run: with one processor, a goroutine that
	// only calls Gosched leaves the sockets of all others unnoticed for 10 ms.
	Poll bool

	near, far *os.File // a pipe; nil: none is open
	raw       syscall.RawConn
	farFD     uintptr
	pass      func(fd uintptr) (done bool)
	sent      bool
	crowded   int // calls of Yield that poll since Gosched has taken long
}

// Yield lets other goroutines run. The goroutine that polls waits for a byte that it sends to
// itself: it gets it when the runtime looks at the network, together with what has come
// for others.
func (y *Yielder) Yield() {
	if !y.Poll && y.crowded == 0 || !y.open() {
		began := time.Now()
		if runtime.Gosched(); time.Since(began) > maxYield {
			y.crowded = crowdedYields
		}
		return
	}
	y.crowded = max(0, y.crowded-1)
	y.sent = false
	_ = y.near.SetReadDeadline(time.Now().Add(maxYield))
	if err := y.raw.Read(y.pass); err != nil && !y.sent { // in a bubble of synctest, whose time is another
		runtime.Gosched()
	}
}

// open opens the pipe, unless it is open. It fails if no file can be opened.
func (y *Yielder) open() bool {
	if y.near != nil {
		return true
	}
	near, far, err := os.Pipe()
	if err != nil {
		return false
	}
	y.near, y.far, y.pass = near, far, y.passNow
	if y.raw, err = near.SyscallConn(); err == nil {
		var raw syscall.RawConn
		if raw, err = far.SyscallConn(); err == nil {
			err = raw.Control(func(fd uintptr) { y.farFD = fd })
		}
	}
	if err != nil {
		y.Close()
		return false
	}
	return true
}

// passNow sends the byte, and takes it when it has come.
func (y *Yielder) passNow(fd uintptr) (done bool) {
	var bytes [8]byte
	if !y.sent {
		y.sent = true
		_, err := ignoringInterrupts(syscall.Write, int(y.farFD), bytes[:1])
		return err != nil
	}
	_, _ = ignoringInterrupts(syscall.Read, int(fd), bytes[:]) // with those of waits that took too long
	return true
}

// Close closes the pipe. Yield opens another one.
func (y *Yielder) Close() {
	if y.near != nil {
		_ = y.near.Close()
		_ = y.far.Close()
		*y = Yielder{Poll: y.Poll}
	}
}
