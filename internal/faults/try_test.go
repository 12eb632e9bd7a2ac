package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"tandem/internal/lab"
	"tandem/internal/pair"
	"testing"
	"testing/synctest"
	"time"
)

var _ = slog.Default

func TestTry(t *testing.T) {
	name := os.Getenv("TRY")
	if name == "" {
		t.Skip()
	}
	sc, err := lab.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(sc, 1, newLedger())
		if err != nil {
			t.Fatal(err)
		}
		w.log = func(f string, a ...any) { t.Logf("%v %s", time.Since(w.start), fmt.Sprintf(f, a...)) }
		w.play(context.Background(), 0, nil)
		es, _ := w.vault.Journal(context.Background(), w.sites[0].name, 0, "")
		for i := len(es) - 1; i >= 0; i-- {
			e := es[i]
			if e.Kind != pair.EntryDecided {
				t.Logf("%v %s %s", e.At.Sub(w.start), e.Kind, e.Body)
				continue
			}
			var d pair.Decided
			json.Unmarshal(e.Body, &d)
			t.Logf("%v %s %s: %s %d", d.Decision.At.Sub(w.start), d.Decision.ID, d.Decision.Row, d.Reason, len(d.Decision.Intents))
		}
		t.Log(w.check.found, w.failed)
		t.Log(w.describe())
	})
}
