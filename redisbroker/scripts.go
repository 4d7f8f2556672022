package redisbroker

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
	"github.com/rohrpost/rohrpost/broker"
)

//go:embed lua/era.lua
var eraLua string

//go:embed lua/publish.lua
var publishLua string

//go:embed lua/follow.lua
var followLua string

//go:embed lua/positions.lua
var positionsLua string

//go:embed lua/read.lua
var readLua string

var (
	publishScript   = rueidis.NewLuaScript(eraLua + publishLua)
	followScript    = rueidis.NewLuaScript(eraLua + followLua)
	positionsScript = rueidis.NewLuaScript(eraLua + positionsLua)
	readScript      = rueidis.NewLuaScript(eraLua + readLua)
)

var errAnswer = errors.New("the answer of the server has another form than expected")

func parsePosition(epoch, offset string) (broker.Position, error) {
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return broker.Position{}, fmt.Errorf("%w: offset %.50q", errAnswer, offset)
	}
	return broker.Position{Epoch: epoch, Offset: n}, nil
}

func parsePositions(values []string, count int) ([]broker.Position, error) {
	if len(values) != 2*count {
		return nil, errAnswer
	}
	positions := make([]broker.Position, count)
	for i := range positions {
		var err error
		if positions[i], err = parsePosition(values[2*i], values[2*i+1]); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// parseHistory reads what read.lua returns.
func parseHistory(stream string, parts []rueidis.RedisMessage) (h broker.History, err error) {
	if len(parts) != 3 {
		return h, errAnswer
	}
	epoch, err := parts[0].ToString()
	if err != nil {
		return h, err
	}
	offset, err := parts[1].ToString()
	if err != nil {
		return h, err
	}
	if h.Position, err = parsePosition(epoch, offset); err != nil {
		return h, err
	}
	entries, err := parts[2].AsXRangeSlices()
	if err != nil {
		return h, err
	}
	for _, e := range entries {
		id, _, _ := strings.Cut(e.ID, "-")
		at, err := parsePosition(epoch, id)
		if err != nil {
			return h, err
		}
		if len(e.FieldValues) != 1 {
			return h, errAnswer
		}
		h.Messages = append(h.Messages, message(stream, at, []byte(e.FieldValues[0].Value)))
	}
	return h, nil
}

// message returns a message of a stream, in which no offset is skipped.
func message(stream string, at broker.Position, payload []byte) broker.Message {
	return broker.Message{Stream: stream, Payload: payload, Position: at, Prev: at.Offset - 1}
}
