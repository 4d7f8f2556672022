package sqlbroker

import "context"

// Clean drops what is older than it must be kept.
func (b *Broker) Clean(ctx context.Context) error { return b.clean(ctx) }
