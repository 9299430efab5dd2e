package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// identityColumns are the columns by which the stream names a row of the table: those of its
// replica identity. Under FULL that is every column, so the primary key stands for the row
// or, without one, the key column. Nil: old rows cannot be told apart.
func identityColumns(rel *change.Relation, key int) []int {
	if rel.Identity == 'f' {
		if len(rel.Key) > 0 {
			return rel.Key
		}
		return []int{key}
	}
	var out []int
	for i := range rel.Columns {
		if rel.Columns[i].Identity {
			out = append(out, i)
		}
	}
	return out
}

// appendIdentity joins the texts of the columns, each behind its length, so that different
// rows have different identities. false: the tuple does not carry them.
func appendIdentity(dst []byte, columns []int, values []change.Value) ([]byte, bool) {
	for _, i := range columns {
		if i >= len(values) {
			return dst, false
		}
		switch v := values[i]; v.Kind {
		case change.Text:
			dst = binary.AppendUvarint(dst, uint64(len(v.Text))+1)
			dst = append(dst, v.Text...)
		case change.Null:
			dst = append(dst, 0)
		default:
			return dst, false
		}
	}
	return dst, true
}

// keySum is the key of a row: what cookies are compared with is not kept.
func keySum(text []byte) [32]byte { return sha256.Sum256(text) }

// spelling is the text of a value as values of the type are compared with it by us: equal
// values of the types where Postgres has several texts for one have one spelling here.
func spelling(t *change.Type, text string) string {
	switch name := t.BaseName(); {
	case t.Kind == change.KindNumeric && strings.Contains(text, "."):
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	case name == "character":
		return strings.TrimRight(text, " ")
	case name == "citext" || strings.HasSuffix(name, ".citext"):
		return strings.ToLower(text)
	}
	return text
}
