package story

import (
	"fmt"
	"testing"
	"time"

	"tandem/internal/lab"
)

// TestAStoryMayEndInTheMiddleOfAPass ends stories while the program still waits
// for a store that is slow: whatever runs must have ended before the bubble does,
// which otherwise panics.
func TestAStoryMayEndInTheMiddleOfAPass(t *testing.T) {
	sc, err := lab.ReadScenario("test", []byte(`
name: slow-end
summary: The link is cut, and the store is slow until the end.
for: 75s
steps:
  - { at: 1m,  do: cut }
  - { at: 65s, do: store-slow, late: 2s }
`))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		sc.For += time.Second
		t.Run(fmt.Sprint("at ", sc.For), func(t *testing.T) { with(t, sc, 1) })
	}
}
