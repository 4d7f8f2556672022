package rohrposttest_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// failing runs a test that must fail, and returns its output.
func failing(t *testing.T, test func(t testing.TB)) string {
	t.Helper()
	fake := &fakeTest{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(fake)
	}()
	<-done
	if !fake.failed {
		t.Error("the test did not fail")
	}
	return fake.output.String()
}

// fakeTest records failures instead of reporting them.
type fakeTest struct {
	testing.TB
	failed bool
	output strings.Builder
}

func (f *fakeTest) Errorf(format string, args ...any) {
	f.failed = true
	fmt.Fprintf(&f.output, format+"\n", args...)
}

func (f *fakeTest) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *fakeTest) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

// TestMain fails if goroutines of a connection are running after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, cleanup := range t.cleanups { // of the examples
		cleanup()
	}
	left := stacks()
	for range 50 { // goroutines that are ending may end
		if !strings.Contains(left, "mailbox") {
			break
		}
		time.Sleep(20 * time.Millisecond)
		left = stacks()
	}
	if code == 0 && strings.Contains(left, "mailbox") {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// stacks returns those of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
