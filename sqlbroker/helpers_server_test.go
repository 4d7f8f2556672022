package sqlbroker_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/internal/enginefaults"
)

// server is a private database server, which a test may stop, kill, and put back in time.
type server struct {
	*enginefaults.Server
	dir  string
	port int
	dial gorm.Dialector

	processes bool // it has processes of its own, which follow it
}

// program returns the path of a program, or skips the test.
func program(t testing.TB, name string, folders ...string) string {
	for _, folder := range folders {
		if found, _ := filepath.Glob(filepath.Join(folder, name)); len(found) > 0 {
			return found[0]
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(name + " is not installed")
		}
		t.Skip(name + " is not installed")
	}
	return path
}

// as makes a command run as a user, where the test runs as root: servers refuse that.
func as(t testing.TB, name string, command *exec.Cmd) *exec.Cmd {
	if os.Getuid() != 0 {
		return command
	}
	u, err := user.Lookup(name)
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	command.Dir = "/"
	return command
}

// folder makes a folder that the user of a server can write.
func folder(t testing.TB, owner string) string {
	dir, err := os.MkdirTemp("", "rohrpost-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, as(t, "root", exec.Command("chown", owner, dir)).Run())
	return dir
}

func newPostgres(t testing.TB) *server { return newPostgresIn(t, folder(t, "postgres")) }

// newPostgresIn is newPostgres with its data in a folder.
func newPostgresIn(t testing.TB, dir string) *server {
	bin := "/usr/lib/postgresql/*/bin"
	initdb, path := program(t, "initdb", bin), program(t, "postgres", bin)
	s := &server{dir: dir, port: enginefaults.FreePort(t), processes: true}
	out, err := as(t, "postgres", exec.Command(initdb, "-D", s.dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.dial = postgres.Open(s.dsn())
	s.run(t, syscall.SIGINT, func() *exec.Cmd { // which does not wait for clients
		return as(t, "postgres", exec.Command(path, "-D", s.dir+"/data", "-p", strconv.Itoa(s.port), "-k", s.dir, "-h", "127.0.0.1"))
	})
	return s
}

func (s *server) dsn() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable connect_timeout=2", s.port)
}

func newMariaDB(t testing.TB) *server { return newMariaDBIn(t, folder(t, "mysql")) }

// newMariaDBIn is newMariaDB with its data in a folder.
func newMariaDBIn(t testing.TB, dir string) *server {
	install, path := program(t, "mariadb-install-db"), program(t, "mariadbd")
	s := &server{dir: dir, port: enginefaults.FreePort(t)}
	alone := func(c *exec.Cmd) *exec.Cmd { // a server that starts removes the temporary tables of others
		c.Env = append(os.Environ(), "TMPDIR="+s.dir)
		return as(t, "mysql", c)
	}
	out, err := alone(exec.Command(install, "--no-defaults", "--datadir="+s.dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.dial = mysql.Open(fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql?parseTime=true&timeout=2s", s.port))
	s.run(t, syscall.SIGTERM, func() *exec.Cmd {
		return alone(exec.Command(path, "--no-defaults", "--datadir="+s.dir+"/data", "--port="+strconv.Itoa(s.port),
			"--bind-address=127.0.0.1", "--socket="+s.dir+"/s", "--innodb-buffer-pool-size=32M"))
	})
	return s
}

func (s *server) run(t testing.TB, endsBy syscall.Signal, command func() *exec.Cmd) {
	s.Server = &enginefaults.Server{T: t, Command: command, Answers: s.answers, EndsBy: endsBy}
	s.Start()
}

func (s *server) answers() bool {
	db, err := gorm.Open(s.dial, &gorm.Config{Logger: quiet})
	if err != nil {
		return false
	}
	pool, err := db.DB()
	if err == nil {
		err = pool.Close()
	}
	return err == nil
}

// Kill kills the server with SIGKILL. A PostgreSQL server leaves its processes, which notice
// its end some time later, and a file. Both keep the next one from starting.
func (s *server) Kill() {
	if !s.processes {
		s.Server.Kill()
		return
	}
	children, _ := exec.Command("pgrep", "-P", strconv.Itoa(s.Pid())).Output() // none: it has ended before
	s.Server.Kill()
	_ = os.Remove(s.dir + "/data/postmaster.pid")
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		require.NoError(s.T, err)
		require.Eventually(s.T, func() bool { return syscall.Kill(pid, 0) != nil }, time.Minute, 10*time.Millisecond, "its processes end")
	}
}

// Signal sends a signal to the server, and to its processes if it stops or goes on.
func (s *server) Signal(what syscall.Signal) {
	s.Server.Signal(what)
	if s.processes {
		_ = exec.Command("pkill", "-"+strconv.Itoa(int(what)), "-P", strconv.Itoa(s.Pid())).Run()
	}
}

// Restore implements enginefaults.Engine.
func (s *server) Restore(meanwhile func()) {
	s.End()
	s.copyData("data", "copy")
	s.Start()
	meanwhile()
	s.Kill()
	s.copyData("copy", "data")
	s.Start()
}

// copyData copies the data of a server that does not run.
func (s *server) copyData(from, to string) {
	require.NoError(s.T, os.RemoveAll(s.dir+"/"+to))
	out, err := exec.Command("cp", "-a", s.dir+"/"+from, s.dir+"/"+to).CombinedOutput()
	require.NoError(s.T, err, "%s", out)
}
