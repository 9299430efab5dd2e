package integration

import (
	"context"
	"encoding/binary"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/replication"
)

// valueSettings fix the text form of values as AppendJSON asks for it.
var valueSettings = map[string]string{
	"DateStyle":          "ISO, MDY",
	"IntervalStyle":      "postgres",
	"TimeZone":           "UTC",
	"extra_float_digits": "1",
	"bytea_output":       "hex",
	"client_encoding":    "UTF8",
}

// typeStream is a replication connection of the test's own: it shows what
// Postgres sends, without walrelay's receiver.
type typeStream struct {
	conn *pgconn.PgConn
	slot string
}

// openStream makes a slot; the stream begins here.
func openStream(t *testing.T, db *database) *typeStream {
	t.Helper()
	cfg, err := pgconn.ParseConfig(db.url())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(cfg.RuntimeParams, valueSettings)
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // the walsender is in the middle of the stream
	})
	_, err = pglogrepl.CreateReplicationSlot(t.Context(), conn, db.name, "pgoutput", pglogrepl.CreateReplicationSlotOptions{Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	return &typeStream{conn: conn, slot: db.name}
}

// rows calls each for every inserted row up to the message "end". The values are
// valid during the call.
func (s *typeStream) rows(t *testing.T, catalog *pgx.Conn, each func(*change.Relation, []change.Value)) {
	t.Helper()
	err := pglogrepl.StartReplication(t.Context(), s.conn, s.slot, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names 'everything'", "messages 'true'"},
	})
	if err != nil {
		t.Fatal(err)
	}
	relations := map[uint32]*change.Relation{}
	for {
		data := s.receive(t)
		if data == nil {
			continue
		}
		switch data[0] {
		case 'R':
			rel := readRelation(t, catalog, data)
			relations[rel.OID] = rel
		case 'I':
			row, err := change.Tuple(data[6:]).Columns(nil) // I, OID, N
			if err != nil {
				t.Fatal(err)
			}
			each(relations[binary.BigEndian.Uint32(data[1:])], row)
		case 'M':
			return
		}
	}
}

// receive is the next pgoutput message, nil if there was none in what came.
func (s *typeStream) receive(t *testing.T) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	msg, err := s.conn.ReceiveMessage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	data, ok := msg.(*pgproto3.CopyData)
	if !ok {
		t.Fatalf("got %T in the stream: %+v", msg, msg)
	}
	switch data.Data[0] {
	case pglogrepl.XLogDataByteID:
		xld, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			t.Fatal(err)
		}
		return xld.WALData
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		if err := pglogrepl.SendStandbyStatusUpdate(ctx, s.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

func readRelation(t *testing.T, catalog *pgx.Conn, data []byte) *change.Relation {
	t.Helper()
	msg, err := pglogrepl.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	r := msg.(*pglogrepl.RelationMessage)
	var oids []uint32
	for _, c := range r.Columns {
		oids = append(oids, c.DataType)
	}
	types, err := replication.LoadTypes(t.Context(), catalog, oids)
	if err != nil {
		t.Fatal(err)
	}
	rel := &change.Relation{OID: r.RelationID, Schema: r.Namespace, Name: r.RelationName}
	for _, c := range r.Columns {
		rel.Columns = append(rel.Columns, change.Column{Name: c.Name, Type: types[c.DataType]})
	}
	return rel
}
