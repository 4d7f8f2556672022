package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A write that is under way when the program is told to end is answered, and reaches the
// pages before their connections are closed.
func TestEndsAfterTheWrites(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-empty"}, in) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	address := strings.Trim(strings.TrimPrefix(line, "The board is at http://"), "/\n")

	page, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+address+"/ws/rohrpost/", nil)
	require.NoError(t, err)
	defer page.Close()
	require.NoError(t, page.SetReadDeadline(time.Now().Add(20*time.Second)))
	require.NoError(t, page.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"`+boardGroup+`"}}`)))
	_, _, err = page.ReadMessage()
	require.NoError(t, err)

	writer, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer writer.Close()
	body := `{"title":"late","column":"todo"}`
	_, err = fmt.Fprintf(writer, "POST /api/cards HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", address, len(body))
	require.NoError(t, err)
	answers := bufio.NewReader(writer)
	line, err = answers.ReadString('\n') // the handler reads the body
	require.NoError(t, err)
	assert.Contains(t, line, "100 Continue")

	end()
	refuses := func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}
	require.Eventually(t, refuses, 10*time.Second, time.Millisecond, "the server ends")
	_, err = io.WriteString(writer, body)
	require.NoError(t, err)
	_, err = answers.ReadString('\n')
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusCreated, answer.StatusCode)
	_, change, err := page.ReadMessage()
	require.NoError(t, err)
	assert.Contains(t, string(change), `"title":"late"`)
	_, _, err = page.ReadMessage()
	assert.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	assert.NoError(t, <-ended)
}
