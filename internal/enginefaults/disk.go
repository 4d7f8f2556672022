package enginefaults

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Disk is a small file system, for an engine that fills it.
type Disk struct {
	T   testing.TB
	Dir string
}

// NewDisk mounts a Disk in memory, of some bytes. It goes with the test, and after what is
// cleaned up first: start the engine later. NewDisk skips the test where the machine does
// not allow that.
func NewDisk(t testing.TB, bytes int) *Disk {
	dir, err := os.MkdirTemp("", "rohrpost-disk-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.Remove(dir) })
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("mode=0777,size=", bytes), "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Skipf("no disk can be filled: the machine allows no mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return &Disk{t, dir}
}

// Fill writes until not a byte more fits.
func (d *Disk) Fill() {
	file, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(d.T, err)
	defer func() { _ = file.Close() }()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// Empty makes room again.
func (d *Disk) Empty() { require.NoError(d.T, os.Remove(d.filler())) }

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }

// incompressible returns text of some bytes that no engine stores in fewer.
func incompressible(bytes int) string {
	text := ""
	for len(text) < bytes {
		text += rand.Text()
	}
	return text[:bytes]
}
