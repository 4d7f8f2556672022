package capture

// publisher lets the consumer publish the rows of transactions in the order of their
// commits.
type publisher struct {
	consumer Consumer
	order    commitOrder
}

// publish ends a Transaction of the consumer whose rows have committed already.
func (p *publisher) publish(kept Transaction, rows []rowID) {
	t := &turn{}
	p.order.enter(t, rows)
	p.end(kept, t, Committed)
}

// end ends a Transaction of the consumer in its turn. It may be nil, and so may the turn.
func (p *publisher) end(kept Transaction, t *turn, o Outcome) {
	if t != nil {
		p.order.wait(t)
	}
	if kept != nil {
		kept.End(o)
	}
	overtaken := t != nil && p.order.leave(t)
	if kept != nil {
		kept.Finish(overtaken)
	}
}
