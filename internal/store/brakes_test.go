package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/pair"
)

// brakeKeys are the places of the brakes' rows that useBrakes makes.
func brakeKeys() map[string]string {
	return map[string]string{
		writersPartition: escape(string(pair.NewResourceID(string(sharedBalancer)))),
		budgetsPartition: escape(strings.ToLower(subscription)),
		slotsPartition:   keySlots,
	}
}

// useBrakes writes a row of each brake, by a process of its own.
func useBrakes(ctx context.Context, s *Store, now time.Time) error {
	s = process(s)
	_, err := s.AcquireWriter(ctx, sharedBalancer, pair.Writer{Owner: "w1", Pair: "edge-a", Rank: pair.RankRepair}, now, ttl)
	return errors.Join(err, s.Reserve(ctx, subscription, 1, 1, now), s.TakeSlot(ctx, "edge-a", 2, now, ttl), s.TakeSlot(ctx, "edge-b", 2, now, ttl))
}

func testBrakesKeep(t *testing.T, a account) {
	if err := useBrakes(t.Context(), a.Store, noon); err != nil {
		t.Fatal(err)
	}
	for part, key := range brakeKeys() {
		change(t, a.Store, tableIndex, part, key, func(props map[string]any) {
			props["later"] = "kept"
			data := strings.TrimSuffix(props[propData].(string), "}") + `,"added":{"by":"a newer release"}}`
			props[propData] = strings.Replace(data, `"pair":"edge-b"`, `"pair":"edge-b","more":[1]`, 1)
		})
	}
	if err := useBrakes(t.Context(), a.Store, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for part, key := range brakeKeys() {
		e, err := a.get(t.Context(), tableIndex, part, key)
		if err != nil {
			t.Fatal(err)
		}
		data := fmt.Sprint(e.props[propData])
		if e.props["later"] != "kept" || !strings.Contains(data, `"added":{"by":"a newer release"}`) || part == slotsPartition && !strings.Contains(data, `"more":[1]`) {
			t.Errorf("%s: what was unknown is lost: %v", part, e.props)
		}
	}
}

func testBrakesTooNew(t *testing.T, a account) {
	ctx := t.Context()
	if err := useBrakes(t.Context(), a.Store, noon); err != nil {
		t.Fatal(err)
	}
	w := become(t, a.Store, "w1", "edge-a", pair.RankRepair, noon)
	for part, key := range brakeKeys() {
		change(t, a.Store, tableIndex, part, key, func(props map[string]any) { props[propMinReader] = pair.Version + 1 })
	}
	s, later := process(a.Store), noon.Add(time.Hour)
	_, err := s.AcquireWriter(ctx, sharedBalancer, pair.Writer{Owner: "w2", Pair: "edge-b", Rank: pair.RankFence}, later, ttl)
	for _, err := range []error{
		err, s.HoldsWriter(ctx, w, noon), s.ReleaseWriter(ctx, w),
		s.Reserve(ctx, subscription, 1, 0, later), s.Spend(ctx, subscription, portionReads, 0, later), s.HoldBack(ctx, subscription, time.Minute, later),
		s.TakeSlot(ctx, "edge-c", 2, later, ttl), s.GiveSlot(ctx, "edge-a"),
	} {
		wantKind(t, err, pair.ErrTooNew)
	}
	// A rank that only a newer release knows says so by itself.
	change(t, a.Store, tableIndex, writersPartition, brakeKeys()[writersPartition], func(props map[string]any) {
		props[propMinReader] = 1
		props[propData] = strings.Replace(props[propData].(string), `"repair"`, `"rescue"`, 1)
	})
	wantKind(t, s.HoldsWriter(ctx, w, noon), pair.ErrTooNew)
	change(t, a.Store, tableIndex, slotsPartition, keySlots, func(props map[string]any) {
		props[propMinReader] = 1
		props[propData] = `{"holders":7}`
	})
	wantKind(t, s.GiveSlot(ctx, "edge-a"), pair.ErrUnreadable)
}

func testBrakesStay(t *testing.T, a account) {
	ctx := t.Context()
	define(t, a.Store, definition("edge-a", 1))
	if err := useBrakes(t.Context(), a.Store, noon); err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return time.Now().Add(100 * claimGrace) }
	if added, removed, err := a.Reindex(ctx); err != nil || added+removed != 0 {
		t.Errorf("added %d and removed %d rows (%v), want none", added, removed, err)
	}
	kept(t, a.Store, "w2", "edge-b", pair.RankRepair, noon)
	diff(t, collect(t, a.Pairs(ctx)), []string{"edge-a"})
}

func TestWhatIsKeptIsWrittenBehindWhatIsKnown(t *testing.T) {
	type form struct {
		A int `json:"a,omitempty"`
	}
	for _, tt := range []struct{ read, written string }{
		{`{"a":1}`, `{"a":1}`},
		{`{}`, `{}`},
		{`{"z":{"y":[1.50,null]},"b":"ü","a":1}`, `{"a":1,"b":"ü","z":{"y":[1.50,null]}}`},
		{`{"b":2}`, `{"b":2}`},
		{`{"A":3}`, `{"a":3}`},
		{`null`, `{}`},
	} {
		var k keeping[form]
		if err := json.Unmarshal([]byte(tt.read), &k); err != nil {
			t.Errorf("%s: %v", tt.read, err)
		}
		if b, err := json.Marshal(k); err != nil || string(b) != tt.written {
			t.Errorf("%s is written as %s (%v), want %s", tt.read, b, err, tt.written)
		}
	}
	for _, bad := range []string{`7`, `[]`, `{"a":"x"}`} {
		if err := json.Unmarshal([]byte(bad), new(keeping[form])); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
