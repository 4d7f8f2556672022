package natsbroker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	metaServer = "rohrpost-server" // the engine that the era belongs to
	metaToken  = "rohrpost-token"  // new for each stream in JetStream, and by Renew

	maxEras = 4 // that may end during a call
)

var (
	errNotConnected = errors.New("there is no connection to the server")
	errMissing      = errors.New("the stream in JetStream is gone, or has begun anew")
)

// era is a time in which JetStream has lost nothing that it had taken. It is a part of all
// subjects: who publishes to one that has ended gets an error. Within an era the sequence
// of JetStream gives the offsets, so that no offset means two things.
type era struct {
	name   string
	server string    // that the connection had when the Broker looked for the era; "": it must look again
	since  time.Time // when the Broker has found it, zero for the first one
}

// epoch returns the epoch of a stream in an era.
func epoch(era, stream string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(stream))
	return era + "-" + strconv.FormatUint(h.Sum64(), 36)
}

// eraName is the same for all who find the same engine, so that several may find it at the
// same time.
func eraName(metadata map[string]string) string {
	sum := sha256.Sum256([]byte(metadata[metaServer] + " " + metadata[metaToken]))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// current returns the era. It asks the server once for each connection.
func (b *Broker) current(ctx context.Context) (string, error) {
	if name := b.cachedEra(); name != "" {
		return name, nil
	}
	b.preparing.Lock()
	defer b.preparing.Unlock()
	if name := b.cachedEra(); name != "" {
		return name, nil
	}
	server := b.nc.ConnectedServerId()
	if server == "" {
		return "", b.notConnected()
	}
	if err := checkVersion(b.nc.ConnectedServerVersion()); err != nil {
		return "", err
	}
	if cluster := b.nc.ConnectedClusterName(); cluster != "" && b.replicas() == 1 {
		return "", fmt.Errorf("Config.Replicas is 1, and the server is in the cluster %s: there it must be 3, or more", cluster)
	}
	name, err := b.prepare(ctx, b.engine(server))
	if err != nil {
		return "", fmt.Errorf("prepare the stream %s in JetStream: %w", b.subjects.stream, explain(err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.era.server = server; b.era.name != name {
		if b.era.name != "" {
			b.era.since = time.Now()
		}
		b.era.name = name
	}
	return name, nil
}

func (b *Broker) cachedEra() string {
	server := b.nc.ConnectedServerId()
	b.mu.Lock()
	defer b.mu.Unlock()
	if server == "" || b.era.server != server {
		return ""
	}
	return b.era.name
}

// eraSince returns when the Broker has found the era, zero for its first one.
func (b *Broker) eraSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.era.since
}

// forgetEra makes the next call look for the era.
func (b *Broker) forgetEra() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.era.server = ""
}

// inEra calls do with the era. It does so again if nothing was done: the era has ended, or
// another hub was faster.
func (b *Broker) inEra(ctx context.Context, do func(era string) error) error {
	for ended := 0; ; {
		name, err := b.current(ctx)
		if err != nil {
			return err
		}
		err = do(name)
		if errors.Is(err, errMissing) {
			b.forgetEra()
			ended++
		}
		if !again(err) || ended == maxEras {
			return err
		}
		if ended := pause(ctx); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// pause lets others go first for a few milliseconds. The error says that ctx has ended.
func pause(ctx context.Context) error {
	select {
	case <-time.After(mathrand.N(5 * time.Millisecond)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again reports whether an error says that nothing was done, and that more may be known.
func again(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode == codeWrongLast || api.ErrorCode == codeWrongLastInFlight || api.ErrorCode == codeTooMany
	}
	return errors.Is(err, errMissing)
}

func (b *Broker) notConnected() error {
	if b.nc.IsClosed() {
		return fmt.Errorf("%w: it was given up; connect with nats.MaxReconnects(-1)", errNotConnected)
	}
	return errNotConnected
}

// engine names what keeps the messages: a run of a single server, which may lose at its end
// what it has not written yet, or a cluster, of which a majority has each message.
func (b *Broker) engine(server string) string {
	if b.replicas() > 1 {
		return "cluster " + b.nc.ConnectedClusterName()
	}
	return server
}

func (b *Broker) replicas() int {
	switch {
	case b.config.Replicas > 0:
		return b.config.Replicas
	case b.nc.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

func (b *Broker) storage() jetstream.StorageType {
	if b.config.Files || b.replicas() > 1 {
		return jetstream.FileStorage
	}
	return jetstream.MemoryStorage
}

// prepare makes the stream in JetStream, or begins a new era if it is of another engine.
func (b *Broker) prepare(ctx context.Context, engine string) (string, error) {
	for {
		stream, err := b.js.Stream(ctx, b.subjects.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			metadata := map[string]string{metaServer: engine, metaToken: rand.Text()}
			_, err = b.js.CreateStream(ctx, b.streamConfig(metadata))
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				continue // another process has made it
			}
			return eraName(metadata), err
		}
		if err != nil {
			return "", err
		}
		done, name, err := b.adopt(ctx, stream.CachedInfo(), engine)
		if done || err != nil {
			return name, err
		}
		if err := pause(ctx); err != nil {
			return "", fmt.Errorf("wait for another hub, which changes it: %w", err)
		}
	}
}

// adopt makes a stream that is there already the one of an engine. It reports false if
// another hub is changing the stream.
func (b *Broker) adopt(ctx context.Context, found *jetstream.StreamInfo, engine string) (done bool, name string, err error) {
	metadata := maps.Clone(found.Config.Metadata)
	if metadata[metaToken] == "" {
		return false, "", errors.New("it belongs to another program")
	}
	if b.replicas() > 1 && found.Config.Storage == jetstream.MemoryStorage {
		return false, "", errors.New("it lies in memory, which a cluster may lose without telling: delete it, so that it is made anew in files")
	}
	metadata[metaServer] = engine
	name = eraName(metadata)
	want := b.streamConfig(metadata)
	if is := found.Config; is.Metadata[metaServer] == engine && is.MaxMsgsPerSubject == want.MaxMsgsPerSubject &&
		is.MaxBytes == want.MaxBytes && is.MaxAge == want.MaxAge && is.Replicas == want.Replicas {
		return true, name, nil
	}
	done, err = b.change(ctx, found, want)
	return done, name, err
}

func (b *Broker) streamConfig(metadata map[string]string) jetstream.StreamConfig {
	p := b.subjects.prefix
	return jetstream.StreamConfig{
		Name: b.subjects.stream, Subjects: []string{b.subjects.all(eraName(metadata))}, Metadata: metadata,
		MaxMsgsPerSubject: int64(max(b.config.MaxMessages, -1)), MaxBytes: max(b.config.MaxBytes, -1), MaxAge: b.config.MaxAge, MaxMsgs: -1,
		Discard: jetstream.DiscardOld, Storage: b.storage(), Replicas: b.replicas(), AllowDirect: true, AllowAtomicPublish: true,
		RePublish: &jetstream.RePublish{
			Source:      p + "*.*.*",
			Destination: p + "live.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
		},
	}
}

// Renew implements broker.Renewer. It is needed after a restore while the server runs.
func (b *Broker) Renew(ctx context.Context) error { return b.call(ctx, "renew the epochs", b.renew) }

func (b *Broker) renew(ctx context.Context) error {
	before, err := b.current(ctx)
	if err != nil {
		return err
	}
	metadata := map[string]string{metaToken: rand.Text()}
	for done := false; !done; {
		stream, err := b.js.Stream(ctx, b.subjects.stream)
		if err != nil {
			return err
		}
		found := stream.CachedInfo()
		if eraName(found.Config.Metadata) != before {
			b.forgetEra() // somebody else has renewed the epochs, and tells all hubs
			return nil
		}
		metadata[metaServer] = found.Config.Metadata[metaServer]
		if done, err = b.change(ctx, found, b.streamConfig(metadata)); err != nil {
			return err
		}
		if !done {
			if err := pause(ctx); err != nil {
				return err
			}
		}
	}
	b.forgetEra()
	return b.nc.Publish(b.subjects.prefix+"live."+eraName(metadata)+".n.renewed", nil) // tells all hubs
}

// explain adds the remedy to an error that an operator must end.
func explain(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: start the server with JetStream (-js), and allow the account to use it", err)
	case errors.As(err, &api) && (api.ErrorCode == 10023 || api.ErrorCode == 10047 || api.ErrorCode == 10028 || api.ErrorCode == 10002):
		return fmt.Errorf("%w: raise the limits of JetStream, or lower Config.MaxBytes", err)
	case errors.As(err, &api) && api.ErrorCode == codeIncomplete:
		return fmt.Errorf("%w: make room on the disk of the server, if it is full", err)
	}
	return err
}
