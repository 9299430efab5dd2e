package change

import "testing"

func TestIsPlainInteger(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "-1": true, "10": true, "-9223372036854775808": true, "99999999999999999999": true,
		"": false, "-": false, "0": false, "-0": false, "01": false, "+1": false, "--1": false, "1.0": false, "1e3": false, "1 ": false, "NaN": false, "1/": false, "1:": false,
	} {
		if got := IsPlainInteger([]byte(text)); got != want {
			t.Errorf("IsPlainInteger(%q) = %v", text, got)
		}
	}
}
