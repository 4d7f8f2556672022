package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The configurations of proxies as a program would have them: the port, and the sockets of
// two instances.
const (
	nginxConfig = `
pid %[4]s/pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[4]s/body;
  proxy_temp_path %[4]s/proxy;
  fastcgi_temp_path %[4]s/fastcgi;
  uwsgi_temp_path %[4]s/uwsgi;
  scgi_temp_path %[4]s/scgi;
  upstream nodes { server unix:%[2]s; server unix:%[3]s; }
  map $http_upgrade $connection_upgrade { default upgrade; "" close; }
  server {
    listen %[1]s;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host; # the hub compares it with the origin of the page
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h; # the hub ends what is idle
    }
  }
}
`
	caddyConfig = `
{
	admin off
	auto_https off
	storage file_system %[4]s
}
http://%[1]s {
	reverse_proxy unix/%[2]s unix/%[3]s {
		lb_policy round_robin
		lb_try_duration 5s
	}
}
`
)

// TestBehindProxies is TestNodes behind the proxies of Debian.
func TestBehindProxies(t *testing.T) {
	program := build(t)
	t.Run("nginx", func(t *testing.T) {
		testNodes(t, program, "sql", func(t *testing.T, sockets ...string) string {
			user := ""
			if os.Getuid() == 0 {
				user = "user root;" // else its workers could not open the sockets
			}
			return startProxy(t, "nginx", user+nginxConfig, sockets, func(dir, file string) []string {
				return []string{"-p", dir, "-e", "stderr", "-g", "daemon off;", "-c", file}
			})
		})
	})
	t.Run("Caddy", func(t *testing.T) {
		testNodes(t, program, "sql", func(t *testing.T, sockets ...string) string {
			return startProxy(t, "caddy", caddyConfig, sockets, func(_, file string) []string {
				return []string{"run", "--adapter", "caddyfile", "--config", file}
			})
		})
	})
}

// startProxy returns the address of a proxy before two instances.
func startProxy(t *testing.T, name, config string, sockets []string, args func(dir, file string) []string) (address string) {
	program, err := exec.LookPath(name)
	if err != nil {
		if program = "/usr/sbin/" + name; !exists(program) {
			require.NotEqual(t, "true", os.Getenv("CI"), "%s is not installed", name)
			t.Skipf("%s is not installed", name)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = l.Addr().String()
	require.NoError(t, l.Close())
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, config, address, sockets[0], sockets[1], dir), 0o600))
	command := exec.Command(program, args(dir, file)...)
	command.Env = append(os.Environ(), "HOME="+dir)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	return address
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
