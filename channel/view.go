package channel

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/walrelay/walrelay/eventlog"
)

// view is a set of audiences: every subscriber of a view gets the same events.
// Immutable but for users.
type view struct {
	audiences  []*audience // sorted by name
	tag        string
	generation uint32 // of the log that the tag is for
	key        string
	users      int // subscribers; guarded by Hub.mu
}

// viewKey identifies a view within a hub.
func viewKey(audiences []*audience, generation uint32) string {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, generation))
	for _, a := range audiences { // of rules that judge alike each has its own: snapshots may differ
		h.Write(binary.BigEndian.AppendUint64(nil, a.rule.serial))
	}
	writeAudiences(h, audiences)
	return string(h.Sum(nil))
}

// writeAudiences hashes all that decides what a view gets.
func writeAudiences(h hash.Hash, audiences []*audience) {
	for _, a := range audiences {
		h.Write(appendKeyPart(nil, []byte(a.rule.print)))
		h.Write(appendKeyPart(nil, []byte(a.id)))
	}
}

func newView(key string, audiences []*audience, lin eventlog.Lineage) *view {
	return &view{audiences: audiences, tag: viewTag(audiences, lin), generation: lin.Generation, key: key}
}

// snapshots reports whether one of the view's channels sends snapshots.
func (v *view) snapshots() bool {
	return slices.ContainsFunc(v.audiences, func(a *audience) bool { return a.rule.Snapshot > 0 })
}

// onlySnapshots reports whether all of them do.
func (v *view) onlySnapshots() bool {
	return !slices.ContainsFunc(v.audiences, func(a *audience) bool { return a.rule.Snapshot == 0 })
}

// compresses reports whether all of them may be compressed.
func (v *view) compresses() bool {
	return !slices.ContainsFunc(v.audiences, func(a *audience) bool { return !a.rule.Compress })
}

func (v *view) names() []string {
	names := make([]string, len(v.audiences))
	for i, a := range v.audiences {
		names[i] = a.name
	}
	return names
}

// viewTag is the short hash at the end of an event id: lineage, rules, parameters and the
// claims that the rules read. 30 bits; a client that returns with another tag cannot be
// resumed exactly. The timeline is the one on which the generation began: a clean
// promotion goes on in the same lineage, any other begins a new one.
func viewTag(audiences []*audience, lin eventlog.Lineage) string {
	h := sha256.New()
	h.Write([]byte(lin.SystemID))
	h.Write(binary.BigEndian.AppendUint32(nil, lin.Born))
	h.Write(binary.BigEndian.AppendUint32(nil, lin.Generation))
	h.Write([]byte(lin.Nonce)) // nothing where an older version began it: its ids stay good
	writeAudiences(h, audiences)
	return tagEncoding.EncodeToString(h.Sum(nil)[:5])[:tagLen]
}

const tagLen = 6

var tagEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
