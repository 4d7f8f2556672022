package rohrpost

import "time"

// History says how much is kept of each group for connections that were away. A
// group has a history from when it is first subscribed to, or asked for its
// Position. A limit or a duration that is negative means: none.
type History struct {
	// Messages is how many messages of a group are kept. Defaults to 256.
	Messages int

	// Bytes is how many bytes of them are kept. Defaults to 256 KiB.
	Bytes int

	// Age is how long a message is kept. Defaults to 5 minutes.
	Age time.Duration

	// TTL is how long the history of a group goes on when its last member has left.
	// Then it ends, and with it the positions in it. Defaults to 5 minutes.
	TTL time.Duration

	// Abandoned is how many histories without a member go on at most; beyond it
	// those end first that were left first. Defaults to 100,000.
	Abandoned int

	// TotalBytes is how many bytes are kept of all groups together; beyond it the
	// oldest messages of the groups go that were quiet for longest. It is divided
	// among 64 parts by the groups' names. Defaults to 64 MiB.
	TotalBytes int
}

func (h History) withDefaults() History {
	setDefault(&h.Messages, 256)
	setDefault(&h.Bytes, 256<<10)
	setDefault(&h.Age, 5*time.Minute)
	setDefault(&h.TTL, 5*time.Minute)
	setDefault(&h.Abandoned, 100_000)
	setDefault(&h.TotalBytes, 64<<20)
	return h
}
