package upstream

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// The first byte of a payload says how the hub that has published it has encoded the
// rest. Hubs of several versions may share a broker while a program is deployed.
const (
	versionPlain  = 1 // JSON follows
	versionSigned = 2 // an HMAC-SHA256 follows, then JSON
)

// The errors of codec.decode.
var (
	errVersion   = errors.New("the payload has a version that this hub does not know")
	errSignature = errors.New("the payload is not signed with the key of this hub")
)

// codec encodes what hubs publish to a broker. Its key is optional.
type codec struct{ key []byte }

// overhead returns the bytes that encode adds.
func (c *codec) overhead() int {
	if c.key == nil {
		return 1
	}
	return 1 + sha256.Size
}

func (c *codec) encode(stream string, json []byte) []byte {
	payload := make([]byte, 0, c.overhead()+len(json))
	if c.key == nil {
		return append(append(payload, versionPlain), json...)
	}
	payload = append(payload, versionSigned)
	payload = c.sign(payload, stream, json)
	return append(payload, json...)
}

// decode returns the JSON of a payload, which is a part of it. An empty payload stays
// so. A hub without a key takes a signed payload as it is, one with a key no other.
func (c *codec) decode(stream string, payload []byte) ([]byte, error) {
	switch {
	case len(payload) == 0:
		return nil, nil
	case payload[0] == versionPlain && c.key == nil:
		return payload[1:], nil
	case payload[0] == versionPlain:
		return nil, errSignature
	case payload[0] != versionSigned || len(payload) <= sha256.Size:
		return nil, errVersion
	}
	signature, json := payload[1:1+sha256.Size], payload[1+sha256.Size:]
	if c.key != nil && !hmac.Equal(signature, c.sign(nil, stream, json)) {
		return nil, errSignature
	}
	return json, nil
}

// sign appends the signature of a message to b. It covers the stream, so that a message
// cannot be moved to another group.
func (c *codec) sign(b []byte, stream string, json []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte{versionSigned})
	mac.Write([]byte(stream))
	mac.Write([]byte{0})
	mac.Write(json)
	return mac.Sum(b)
}
