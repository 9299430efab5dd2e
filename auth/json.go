package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"
)

// parseObject reads a JSON object with numbers as json.Number, within the limits.
func parseObject(data []byte) (map[string]any, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(Malformed, "the payload is not a JSON object")
	}
	return object, nil
}

// parseJSON reads one JSON value with numbers as json.Number, within the limits.
func parseJSON(data []byte) (any, error) {
	if err := measureJSON(data); err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, refuse(Malformed, "the payload is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, refuse(Malformed, "the payload is not JSON")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, refuse(Malformed, "something follows the JSON payload")
	}
	return v, nil
}

// measureJSON counts nesting and values before anything is allocated for them. What
// is not JSON at all is left to the parser.
func measureJSON(data []byte) error {
	if len(data) > maxInflated {
		return refuse(TooLarge, "the payload is longer than 256 KiB")
	}
	depth, values, quoted := 0, 1, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			values++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			values++
		}
		if depth > maxDepth || values > maxValues {
			return refuse(TooLarge, "the payload is nested too deeply or has too many values")
		}
	}
	return nil
}
