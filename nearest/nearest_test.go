package nearest

import "testing"

func TestSuggest(t *testing.T) {
	columns := []string{"id", "customer_id", "status", "total", "userId", "größe"}
	tests := []struct{ got, want string }{
		{"custmer_id", "customer_id"},
		{"cutsomer_id", "customer_id"},
		{"STATUS", "status"},
		{"statsu", "status"},
		{"userid", "userId"},
		{"ID", "id"},
		{"ix", ""},
		{"totl", "total"},
		{"grösse", "größe"},
		{"something_else", ""},
		{"status", ""},
		{"", ""},
	}
	for _, tt := range tests {
		want := ""
		if tt.want != "" {
			want = `; did you mean "` + tt.want + `"?`
		}
		if got := Suggest(tt.got, columns); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", tt.got, got, want)
		}
	}
}
