package nearest_test

import (
	"strings"
	"testing"

	"tandem/internal/nearest"
)

func TestWord(t *testing.T) {
	known := []string{"frontends", "rules", "probe", "resourceGroup", "vm", ""}
	for _, tt := range []struct {
		name, got, want string
	}{
		{"swapped letters are one mistake", "ruels", "rules"},
		{"a missing letter is found", "frontend", "frontends"},
		{"letter case does not matter", "RESOURCEGROUP", "resourceGroup"},
		{"a short word may differ in one letter", "vn", "vm"},
		{"a short word may not differ in two letters", "xy", ""},
		{"something else altogether is not suggested", "password", ""},
		{"a huge word is not compared", strings.Repeat("rules", 100), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := nearest.Word(tt.got, known)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("Word(%q) = %q, %v, want %q", tt.got, got, ok, tt.want)
			}
		})
	}
}

func TestWordTakesTheFirstOfEquallyNear(t *testing.T) {
	if got, _ := nearest.Word("rulet", []string{"ruler", "rules"}); got != "ruler" {
		t.Errorf("Word = %q, want the first", got)
	}
}
