package rohrpost

// What may wait for a connection on its way into a group. What is more is read from
// the history.
const (
	maxNoted      = 256
	maxNotedBytes = 1 << 20
)

// arrival is a connection on its way into a group, while its state or what it has
// missed is read. Changes that pass the gate meanwhile are noted for it. It is guarded
// by the shard of the group.
type arrival struct {
	noted []post
	bytes int
	lossy bool // something is missing in what is noted
}

func (a *arrival) note(p *post) {
	if p.plain || a.lossy {
		return
	}
	a.bytes += len(p.frame)
	if len(a.noted) == maxNoted || a.bytes > maxNotedBytes {
		a.jump()
		return
	}
	a.noted = append(a.noted, *p)
}

// jump notes that something was not noted.
func (a *arrival) jump() { *a = arrival{lossy: true} }
