package httpapi

// table has the connections of a shard, each in a slot that its key names. The zero value is ready.
// Not safe for concurrent use.
type table struct {
	// conns has nil where a slot is free.
	conns []*conn
	// free has the free slots, and perhaps some that are no more.
	free []uint32
	live int
	// serial counts the connections. It is the upper half of a key, so that what is told of one that
	// is gone is not taken for the next one in its slot.
	serial uint32
}

// minTable is the size below which a table does not shrink.
const minTable = 1024

// add puts c into a slot and gives it its key.
func (t *table) add(c *conn) {
	slot := t.freeSlot()
	t.serial++
	t.live++
	t.conns[slot], c.key = c, uint64(t.serial)<<32|uint64(slot)
}

func (t *table) freeSlot() uint32 {
	for n := len(t.free); n > 0; n = len(t.free) {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		if int(slot) < len(t.conns) && t.conns[slot] == nil {
			return slot
		}
	}
	t.conns = append(t.conns, nil)
	return uint32(len(t.conns) - 1)
}

// find is the connection with a key, nil when it is gone.
func (t *table) find(key uint64) *conn {
	if slot := uint32(key); int(slot) < len(t.conns) {
		if c := t.conns[slot]; c != nil && c.key == key {
			return c
		}
	}
	return nil
}

// remove takes c out. Whoever walks over conns may do so: slots only get free.
func (t *table) remove(c *conn) {
	slot := uint32(c.key)
	t.conns[slot] = nil
	t.free = append(t.free, slot)
	t.live--
}

// shrink gives memory back that a burst has left behind.
func (t *table) shrink() {
	for n := len(t.conns); n > 0 && t.conns[n-1] == nil; n-- {
		t.conns = t.conns[:n-1]
	}
	if cap(t.conns) < minTable || cap(t.conns)/4 < len(t.conns) {
		return
	}
	t.conns = append(make([]*conn, 0, len(t.conns)), t.conns...)
	t.free = nil
	for slot, c := range t.conns {
		if c == nil {
			t.free = append(t.free, uint32(slot))
		}
	}
}
