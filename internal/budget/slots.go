package budget

// Slots bounds how many goroutines do something at a time. Those that wait get a slot in
// their order. Make one with NewSlots.
type Slots chan struct{}

// NewSlots returns n free Slots.
func NewSlots(n int) Slots { return make(Slots, n) }

// Take takes a slot. It waits until one is free.
func (s Slots) Take() { s <- struct{}{} }

// Leave gives a slot back.
func (s Slots) Leave() { <-s }
