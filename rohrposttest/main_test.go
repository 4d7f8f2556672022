package rohrposttest_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
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
	buf := make([]byte, 1<<20)
	if stacks := string(buf[:runtime.Stack(buf, true)]); code == 0 && strings.Contains(stacks, "mailbox") {
		fmt.Fprintln(os.Stderr, stacks)
		code = 1
	}
	os.Exit(code)
}
