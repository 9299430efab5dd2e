package change

// Kind says how a value's text output becomes JSON.
type Kind uint8

// The kinds follow the categories of to_jsonb (json_categorize_type in
// src/backend/utils/adt/jsonfuncs.c). KindText is everything else: a JSON string
// of the text output. oid, xid and money are among them, as on the server. The
// values are part of the event log's format: add new ones at the end.
const (
	KindText        Kind = iota
	KindBool             // bool: t, f
	KindInt              // int2, int4, int8
	KindFloat            // float4, float8: exponents, NaN, Infinity
	KindNumeric          // numeric: NaN, Infinity
	KindDate             // date
	KindTimestamp        // timestamp without time zone
	KindTimestampTZ      // timestamp with time zone
	KindJSON             // json: any white space, duplicate keys
	KindJSONB            // jsonb: canonical text
	KindHstore           // extension hstore: an object of strings and nulls
	KindArray            // any array: {...}
	KindVector           // int2vector, oidvector: elements separated by blanks
	KindComposite        // row types: (...)
)

// Type describes a Postgres type as far as its values are rendered and compared.
// Domains are resolved to their base type. Immutable.
type Type struct {
	// OID of the declared type; for a domain the OID of the domain.
	OID uint32 `json:"oid"`
	// Name as format_type prints it, for example "bigint", "public.order_status".
	Name string `json:"name"`
	// Base is the name of the type below a domain, else empty.
	Base string `json:"base,omitempty"`
	Kind Kind   `json:"kind,omitempty"`
	// Elem is the element type of KindArray and KindVector.
	Elem *Type `json:"elem,omitempty"`
	// Delim separates array elements: ',' for all built-in types but box, which has ';'.
	Delim byte `json:"delim,omitempty"`
	// Fields of KindComposite, dropped attributes left out.
	Fields []Field `json:"fields,omitempty"`
	// Labels of an enum, in its order.
	Labels []string `json:"labels,omitempty"`
}

// Field is one attribute of a composite type.
type Field struct {
	Name string `json:"name"`
	Type *Type  `json:"type"`
}

// BaseName is the name of the type itself or, for a domain, of the type below it:
// "bigint".
func (t *Type) BaseName() string {
	if t.Base != "" {
		return t.Base
	}
	return t.Name
}
