package sqlbroker_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// server is a private database server, which a test may stop, kill, and put back in time.
type server struct {
	t       testing.TB
	name    string
	dir     string
	port    int
	command func() *exec.Cmd
	dial    gorm.Dialector
	running *exec.Cmd
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
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

func newPostgres(t testing.TB) *server {
	bin := "/usr/lib/postgresql/*/bin"
	initdb, postgresPath := program(t, "initdb", bin), program(t, "postgres", bin)
	s := &server{t: t, name: "postgres", dir: folder(t, "postgres"), port: freePort(t)}
	out, err := as(t, "postgres", exec.Command(initdb, "-D", s.dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.command = func() *exec.Cmd {
		return as(t, "postgres", exec.Command(postgresPath, "-D", s.dir+"/data", "-p", strconv.Itoa(s.port), "-k", s.dir, "-h", "127.0.0.1"))
	}
	s.dial = postgres.Open(s.dsn())
	s.start()
	return s
}

func (s *server) dsn() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable connect_timeout=2", s.port)
}

func newMariaDB(t testing.TB) *server {
	install, path := program(t, "mariadb-install-db"), program(t, "mariadbd")
	s := &server{t: t, name: "mariadb", dir: folder(t, "mysql"), port: freePort(t)}
	out, err := as(t, "mysql", exec.Command(install, "--no-defaults", "--datadir="+s.dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.command = func() *exec.Cmd {
		return as(t, "mysql", exec.Command(path, "--no-defaults", "--datadir="+s.dir+"/data", "--port="+strconv.Itoa(s.port),
			"--bind-address=127.0.0.1", "--socket="+s.dir+"/s", "--innodb-buffer-pool-size=32M"))
	}
	s.dial = mysql.Open(fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql?parseTime=true&timeout=2s", s.port))
	s.start()
	return s
}

func (s *server) start() {
	s.running = s.command()
	require.NoError(s.t, s.running.Start())
	s.t.Cleanup(s.kill)
	require.Eventually(s.t, func() bool {
		db, err := gorm.Open(s.dial, &gorm.Config{Logger: quiet})
		if err != nil {
			return false
		}
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond)
}

// kill kills the server with SIGKILL. A PostgreSQL server then ends its processes itself.
func (s *server) kill() {
	_ = s.running.Process.Kill()
	_ = s.running.Wait()
	if s.name == "postgres" {
		_ = os.Remove(s.dir + "/data/postmaster.pid")
		time.Sleep(300 * time.Millisecond) // the processes of the old server notice its end
	}
}

// end ends the server in order.
func (s *server) end() {
	what := syscall.SIGTERM
	if s.name == "postgres" {
		what = syscall.SIGINT // without waiting for clients
	}
	require.NoError(s.t, s.running.Process.Signal(what))
	_ = s.running.Wait()
}

// copyData copies the data of a server that does not run.
func (s *server) copyData(from, to string) {
	require.NoError(s.t, os.RemoveAll(s.dir+"/"+to))
	out, err := exec.Command("cp", "-a", s.dir+"/"+from, s.dir+"/"+to).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func (s *server) signal(what syscall.Signal) {
	require.NoError(s.t, s.running.Process.Signal(what))
	if s.name == "postgres" { // also its processes
		_ = exec.Command("pkill", "-"+strconv.Itoa(int(what)), "-P", strconv.Itoa(s.running.Process.Pid)).Run()
	}
}
