package redisbroker_test

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/redisbroker"
)

// TestFailover kills the master that Sentinel watches, when its replica has missed what the
// master took last. All pages load their snapshots again. The master comes back, and takes
// changes until Sentinel makes it a replica, or the other one again.
func TestFailover(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	for i := range *faultRuns {
		t.Run(strconv.Itoa(i+1), testFailover)
	}
}

func testFailover(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	replica := startServer(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.port))
	awaitReplication(t, replica, "master_link_status:up")
	sentinel, app := startSentinel(t, master), "test-"+cryptorand.Text()
	r := enginefaults.Run(t, enginefaults.Config{
		Open: func() broker.Broker {
			return openOn(t, rueidis.ClientOption{InitAddress: []string{sentinel}, Sentinel: rueidis.SentinelOption{MasterSet: "m"}}, redisbroker.Config{App: app})
		},
		Fault: func(meanwhile func()) {
			command(t, replica, "REPLICAOF", "127.0.0.1", "1")
			meanwhile()
			master.Kill()
			awaitReplication(t, replica, "role:master")
			time.Sleep(rand.N(2 * time.Second))
			master.Start()
			require.Eventually(t, func() bool { return isReplica(master) || isReplica(replica) }, time.Minute, 50*time.Millisecond)
		},
		Cut: true, Pages: 40, Log: t.Output(),
	})
	assert.NotZero(t, r.ReloadRequests(), "the replica has not everything")
	t.Logf("%d expected, %d delivered, %d loaded, back after %v, not recovered %v, resyncs %v",
		r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.NotRecovered, r.Resyncs)
}

// TestClusterFailover kills the master of a cluster that has the keys of the program.
func TestClusterFailover(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	t.Parallel()
	for name, sharded := range map[string]bool{"pub/sub": false, "sharded pub/sub": true} {
		t.Run(name, func(t *testing.T) {
			servers, app := startCluster(t), "test-"+cryptorand.Text()
			r := enginefaults.Run(t, enginefaults.Config{
				Open: func() broker.Broker {
					return openOn(t, rueidis.ClientOption{InitAddress: []string{servers[0].address(), servers[1].address(), servers[2].address()}},
						redisbroker.Config{App: app, ShardedPubSub: sharded})
				},
				Fault: func(func()) {
					owner := ownerOf(servers, app)
					require.NotNil(t, owner)
					owner.Kill()
					require.Eventually(t, func() bool { return ownerOf(servers, app) != nil }, 30*time.Second, 50*time.Millisecond, "a replica is promoted")
					owner.Start()
				},
				Cut: true, Pages: 40, Log: t.Output(),
			})
			t.Logf("%d expected, %d delivered, %d loaded, back after %v, not recovered %v, resyncs %v",
				r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.NotRecovered, r.Resyncs)
		})
	}
}

// openOn returns a Broker on servers that a client finds.
func openOn(t testing.TB, option rueidis.ClientOption, c redisbroker.Config) broker.Broker {
	option.DisableCache, option.ConnWriteTimeout = true, 3*time.Second
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	b, err := redisbroker.New(client, c)
	require.NoError(t, err)
	return b
}

// awaitReplication waits for a line of INFO replication.
func awaitReplication(t testing.TB, s *server, line string) {
	require.Eventually(t, func() bool {
		text, err := ask(s, "INFO", "replication")
		return err == nil && strings.Contains(text, line)
	}, time.Minute, 50*time.Millisecond, line)
}

func isReplica(s *server) bool {
	text, err := ask(s, "INFO", "replication")
	return err == nil && strings.Contains(text, "role:slave")
}

// ask sends a command to one server, which may be away.
func ask(s *server, command ...string) (string, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.address()}, DisableCache: true, ForceSingleClient: true, ConnWriteTimeout: time.Second, DisableRetry: true,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	answer, err := client.Do(context.Background(), client.B().Arbitrary(command...).Build()).ToMessage()
	return answer.String(), err
}

// startSentinel starts a Sentinel that watches a server as "m", and returns its address when
// it knows the replica.
func startSentinel(t testing.TB, master *server) string {
	s := &server{dir: t.TempDir(), port: enginefaults.FreePort(t)}
	config := filepath.Join(s.dir, "sentinel.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor m 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 5000\n", s.port, s.dir, master.port), 0o600))
	s.Server = &enginefaults.Server{
		T: t, Command: func() *exec.Cmd { return exec.Command("redis-server", config, "--sentinel") },
		Answers: func() bool { return enginefaults.Listens(s.address()) },
	}
	s.Start()
	require.Eventually(t, func() bool {
		text, err := ask(s, "INFO", "sentinel")
		return err == nil && strings.Contains(text, "slaves=1")
	}, time.Minute, 50*time.Millisecond, "Sentinel knows the replica")
	return s.address()
}

// startCluster starts three masters, each with a replica.
func startCluster(t testing.TB) (servers []*server) {
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Skip("redis-cli is not installed")
	}
	args := []string{"--cluster", "create"}
	for range 6 {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", strconv.Itoa(enginefaults.FreePort(t)))
		servers, args = append(servers, s), append(args, s.address())
	}
	out, err := exec.Command(cli, append(args, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Eventually(t, func() bool {
		for _, s := range servers {
			if text, err := ask(s, "CLUSTER", "INFO"); err != nil || !strings.Contains(text, "cluster_state:ok") {
				return false
			}
			if text, err := ask(s, "INFO", "replication"); err != nil || !strings.Contains(text, "connected_slaves:1") && !strings.Contains(text, "master_link_status:up") {
				return false
			}
		}
		return true
	}, time.Minute, 100*time.Millisecond, "the cluster is complete")
	return servers
}

// ownerOf returns the server that has the keys of a program now.
func ownerOf(servers []*server, app string) *server {
	for _, s := range servers {
		if _, err := ask(s, "HLEN", "{rohrpost:"+app+"}:run:"); err == nil {
			return s
		}
	}
	return nil
}
