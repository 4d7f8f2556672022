package redisbroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/redisbroker"
)

// TestTLS runs the contract over TLS with a password.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := writeCertificate(t, dir)
	certificate, port := filepath.Join(dir, "certificate"), strconv.Itoa(enginefaults.FreePort(t))
	startServer(t, "--tls-port", port, "--tls-auth-clients", "no", "--tls-cert-file", certificate,
		"--tls-key-file", filepath.Join(dir, "key"), "--tls-ca-cert-file", certificate, "--requirepass", "secret")
	connect := func(password string) (rueidis.Client, error) {
		return rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{"127.0.0.1:" + port}, Password: password,
			TLSConfig: &tls.Config{RootCAs: roots}, DisableCache: true, ForceSingleClient: true,
		})
	}
	_, err := connect("another")
	require.ErrorContains(t, err, "WRONGPASS")

	open := func(t *testing.T, app string) broker.Broker {
		client, err := connect("secret")
		require.NoError(t, err)
		t.Cleanup(client.Close)
		b, err := redisbroker.New(client, redisbroker.Config{App: app})
		require.NoError(t, err)
		return named{b, app}
	}
	brokertest.Run(t, brokertest.Config{
		Open: func(t *testing.T) broker.Broker { return open(t, rand.Text()) },
		Peer: func(t *testing.T, b broker.Broker) broker.Broker { return open(t, b.(named).app) },
	})
}

// named is a Broker that knows its program.
type named struct {
	*redisbroker.Broker
	app string
}

// writeCertificate writes a certificate for 127.0.0.1 and its key to files.
func writeCertificate(t *testing.T, dir string) (roots *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{
		"certificate": {Type: "CERTIFICATE", Bytes: certificate},
		"key":         {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
	parsed, err := x509.ParseCertificate(certificate)
	require.NoError(t, err)
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return roots
}
