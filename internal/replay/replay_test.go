package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/replay"
)

func TestAStoredDecisionIsComputedAgainByteForByte(t *testing.T) {
	h := history(t, linkCut(t))
	v, err := h.Check()
	if err != nil || v.First != nil || v.Same != v.Decisions || v.Decisions < 8 || v.Pair != "edge-weu" {
		t.Errorf("got %+v, %v; want all of several decisions the same", v, err)
	}
}

func TestTheFirstDifferenceIsNamed(t *testing.T) {
	tests := []struct {
		name     string
		was, now string // in the third stored decision
		want     replay.Difference
	}{
		{"another row", `"row":"suspected"`, `"row":"healthy"`, replay.Difference{Field: "row", Stored: `"healthy"`, Recomputed: `"suspected"`}},
		{"another fact", `"belief":"suspected"`, `"belief":"confirmed"`, replay.Difference{Field: "facts.belief", Stored: `"confirmed"`, Recomputed: `"suspected"`}},
		{"a field too many", `"row":"suspected"`, `"row":"suspected","x":null`, replay.Difference{Field: "x", Stored: "null"}},
		{"a field too few", `"row":"suspected",`, ``, replay.Difference{Field: "row", Recomputed: `"suspected"`}},
		{"an intent too many", `"row":"suspected"`, `"row":"suspected","intents":[{"kind":"fence"}]`, replay.Difference{Field: "intents", Stored: `[{"kind":"fence"}]`}},
		{"another number", `"epoch":4`, `"epoch":40000000000000000001`, replay.Difference{Field: "epoch", Stored: `40000000000000000001`, Recomputed: `4`}},
		{"a list instead of a mapping", `"row":"suspected"`, `"row":["suspected"]`, replay.Difference{Field: "row", Stored: `["suspected"]`, Recomputed: `"suspected"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			entries := linkCut(t)
			body := string(entries[2].Body)
			if tt.want.Decision = entries[2].ID; !strings.Contains(body, tt.was) {
				t.Fatalf("%s is not in %s", tt.was, body)
			}
			entries[2].Body = json.RawMessage(strings.Replace(body, tt.was, tt.now, 1)) // the decision comes before its input
			h := history(t, entries)
			v, err := h.Check()
			if err != nil || v.First == nil || *v.First != tt.want || v.Same != v.Decisions-1 {
				t.Errorf("got %+v (%+v), %v; want %+v", v, v.First, err, tt.want)
			}
		})
	}
}

func TestTheSameTextInAnotherSpellingIsNoDifference(t *testing.T) {
	entries := linkCut(t)
	for i := range entries {
		var v any
		if err := json.Unmarshal(entries[i].Body, &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(v, " ", "\t") // other spaces, other order
		if err != nil {
			t.Fatal(err)
		}
		entries[i].Body = b
	}
	h := history(t, entries)
	if v, err := h.Check(); err != nil || v.First != nil {
		t.Errorf("got %+v, %v", v.First, err)
	}
}

func TestEveryFormOfAHistoryIsReadInAnyOrderAndOnce(t *testing.T) {
	entries := linkCut(t)
	n := len(entries)
	entries = append(entries, entries[0], pair.Entry{ID: pair.ID("edge-weu", 1, 1), Kind: pair.EntryApplied, Body: json.RawMessage(`{}`)},
		pair.Entry{ID: pair.ID("edge-weu", 1, 2), Kind: "of a newer release", Body: json.RawMessage(`[]`)})
	slices.Reverse(entries)
	array, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	object, err := json.MarshalIndent(map[string]any{"v": 1, "entries": entries}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{array, object} {
		h, err := replay.Read(bytes.NewReader(b))
		if err != nil || len(h.Decisions) != n || !slices.IsSortedFunc(h.Decisions, func(a, b replay.Recorded) int { return a.At.Compare(b.At) }) {
			t.Fatalf("%d decisions, %v; want %d, oldest first", len(h.Decisions), err, n)
		}
		if v, err := h.Check(); err != nil || v.First != nil {
			t.Errorf("got %+v, %v", v.First, err)
		}
	}
}

func TestWhatIsNoHistoryIsRefused(t *testing.T) {
	entry := func(body string) string {
		return `[{"id":"edge-000000000001-001","kind":"decided","at":"2026-11-22T21:00:00Z","body":` + body + `}]`
	}
	two := append(linkCut(t)[:1], linkCut(t, "name: edge-weu", "name: other")[:1]...)
	pairs, err := json.Marshal(two)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text, says string
		kind             error
	}{
		{"nothing", ``, "expected what tandem history", pair.ErrUnreadable},
		{"a page", `<html>`, "expected what tandem history", pair.ErrUnreadable},
		{"no entries", `{"v":1}`, "none among 0 entries", pair.ErrUnreadable},
		{"no decision", `[{"id":"x","kind":"applied","body":{}}]`, "none among 1 entries", pair.ErrUnreadable},
		{"a decision without its input", entry(`{"decision":{}}`), "no input", pair.ErrUnreadable},
		{"a decision that is none", entry(`{"decision":7,"input":{}}`), "edge-000000000001-001", pair.ErrUnreadable},
		{"only what a newer release wrote", entry(`{"decision":{"minReader":99},"input":{}}`), "none among 1 entries that this release can read", pair.ErrUnreadable},
		{"a word of a newer release", entry(`{"decision":{},"input":{"observation":{"units":[{"check":{"answer":"sideways"}}]}}}`), "none among 1", pair.ErrUnreadable},
		{"two pairs", string(pairs), `"edge-weu" and "other"`, pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := replay.Read(strings.NewReader(tt.text))
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v and %q", err, tt.kind, tt.says)
			}
		})
	}
	if _, err := replay.Read(endless{}); !errors.Is(err, pair.ErrTooLarge) {
		t.Errorf("a file without an end: %v", err)
	}
	if _, err := replay.Of(make([]pair.Entry, 200_001)); !errors.Is(err, pair.ErrTooLarge) {
		t.Errorf("too many entries: %v", err)
	}
}

// endless is a file of spaces.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestAnImpossibleInputIsAnErrorAndNoPanic(t *testing.T) {
	entries := linkCut(t)
	last := len(entries) - 1
	entries[last].Body = json.RawMessage(strings.Replace(string(entries[last].Body), `"unit":"second","state"`, `"unit":"unknown","state"`, 1))
	h := history(t, entries)
	h.Decisions[0].Input.Record.Admin = []pair.AdminHold{{LoadBalancer: "ilb-edge", Pool: "loadmasters", Deadline: evening.Add(time.Minute)}}
	if _, err := h.Check(); !errors.Is(err, pair.ErrUnreadable) || !strings.Contains(err.Error(), h.Decisions[0].ID) {
		t.Errorf("check: %v, want that the first decision's input is impossible", err)
	}
	if _, err := h.WhatIf([]replay.Edit{{Path: "mode", Value: "observe"}}); !errors.Is(err, pair.ErrUnreadable) {
		t.Errorf("what if: %v", err)
	}
}

func TestADecisionOfANewerReleaseIsLeftOut(t *testing.T) {
	entries := linkCut(t)
	entries[1].Body = json.RawMessage(strings.Replace(string(entries[1].Body), `"minReader":1`, `"minReader":99`, 1))
	h := history(t, entries)
	if v, err := h.Check(); err != nil || v.Newer != 1 || v.Decisions != len(entries)-1 || v.First != nil {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestWhatIfIsWhatWouldHaveHappened plays the same evening twice, with the
// definition that stood and with the one that is asked about, and demands that
// the answer made of the first journal is the second one.
func TestWhatIfIsWhatWouldHaveHappened(t *testing.T) {
	tests := []struct {
		name    string
		edit    string
		before  []string // changes of the example that stood
		changes []string // and those that are asked about
	}{
		{"more looks before anything is believed", "failover.confirmAfter=5", nil, []string{"confirmAfter: 3", "confirmAfter: 5"}},
		{"fewer looks", "failover.confirmAfter=2", nil, []string{"confirmAfter: 3", "confirmAfter: 2"}},
		{"only explaining", "mode=observe", nil, []string{"mode: auto", "mode: observe"}},
		{"no fence", "failover.fence=never", nil, []string{"fence: auto", "fence: never"}},
		{"a fence where a person was asked", "failover.fence=auto", []string{"fence: auto", "fence: ask"}, nil},
		{"a longer hold-down", "failover.holdDown=12m", []string{"holdDown: 10m", "holdDown: 1m"}, []string{"holdDown: 10m", "holdDown: 12m"}},
		{"a shorter hold-down", "failover.holdDown=1m", nil, []string{"holdDown: 10m", "holdDown: 1m"}},
		{"a fence only once in an hour", "failover.maxMovesPerHour=1", nil, []string{"maxMovesPerHour: 2", "maxMovesPerHour: 1"}},
		{"what does not matter changes nothing", "failover.maxMovesPerHour=7", nil, []string{"maxMovesPerHour: 2", "maxMovesPerHour: 7"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			did := history(t, play1(t, tt.before))
			edit, err := replay.ParseEdit(tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			got, err := did.WhatIf([]replay.Edit{edit})
			if err != nil {
				t.Fatal(err)
			}
			asIs, err := did.WhatIf(nil)
			if err != nil || !asIs.First.IsZero() || len(asIs.Steps) != len(did.Decisions) {
				t.Fatalf("without an edit the courses part at %v, %v", asIs.First, err)
			}
			other, err := history(t, play1(t, tt.changes)).WhatIf(nil)
			if err != nil {
				t.Fatal(err)
			}
			// Who waits for the sweep is looked at up to 15 seconds sooner or later.
			if a, b := told(got.Steps), told(other.Steps); !slices.EqualFunc(a, b, almost) {
				t.Errorf("what would have happened:\n%s\nwant:\n%s\nwhat did:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"),
					strings.Join(what(got.Steps, happened), "\n"))
			}
		})
	}
}

// While something is not believed yet each look counts and is stored: where
// none is stored there was none, however long it took.
func TestNoLookIsPutWhereThereWasNone(t *testing.T) {
	p := &play{t: t, def: example(t), cut: [][2]time.Duration{{time.Minute, 3 * time.Minute}}, ends: 5 * time.Minute, slow: 7 * time.Second}
	h := history(t, p.run())
	got, err := h.WhatIf([]replay.Edit{{Path: "failover.confirmAfter", Value: "5"}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(got.Steps, func(s replay.Step) bool { return s.Happened != nil && s.Happened.Row == "fence" })
	if i < 3 || slices.ContainsFunc(got.Steps[:i], func(s replay.Step) bool { return s.Happened == nil }) || got.Steps[i].Instead.Row != "suspected" {
		t.Errorf("before and at the fence:\n%s\nwant no look that was not stored, and a suspicion", strings.Join(told(got.Steps), "\n"))
	}
}

// A pair that was only observed has no reading of its load balancers in the
// journal, and without one nothing may be fenced.
func TestWhatWasNeverReadIsNotMadeUp(t *testing.T) {
	h := history(t, play1(t, []string{"mode: auto", "mode: observe"}))
	got, err := h.WhatIf([]replay.Edit{{Path: "mode", Value: "auto"}})
	if err != nil {
		t.Fatal(err)
	}
	rows := told(got.Steps)
	if got.First.IsZero() || !slices.Contains(rows, "1m10s both-active-read ") || strings.Contains(strings.Join(rows, "\n"), "fence:") {
		t.Errorf("from %v:\n%s\nwant both-active-read and no fence", got.First, strings.Join(rows, "\n"))
	}
}

func play1(t *testing.T, changes []string) []pair.Entry {
	t.Helper()
	def := example(t, changes...)
	for i := 0; i+1 < len(changes); i += 2 { // those of the example itself are made already
		var err error
		if def, err = changed(def, changes[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	cut := [][2]time.Duration{{time.Minute, 3 * time.Minute}, {5 * time.Minute, 20 * time.Minute}}
	return (&play{t: t, def: def, cut: cut, ends: 25 * time.Minute}).run()
}

// changed sets one key of the definition from a line of a pair file.
func changed(d pair.Definition, line string) (pair.Definition, error) {
	key, value, _ := strings.Cut(line, ": ")
	if key != "mode" {
		key = "failover." + key
	}
	return replay.Edited(d, []replay.Edit{{Path: key, Value: value}})
}

// almost compares two lines of told, of which the times may differ by a sweep.
func almost(a, b string) bool {
	atA, whatA, _ := strings.Cut(a, " ")
	atB, whatB, _ := strings.Cut(b, " ")
	x, errA := time.ParseDuration(atA)
	y, errB := time.ParseDuration(atB)
	return errA == nil && errB == nil && whatA == whatB && (x-y).Abs() <= 15*time.Second
}

// told lists what would have been stored.
func told(steps []replay.Step) []string {
	return what(slices.DeleteFunc(slices.Clone(steps), func(s replay.Step) bool { return s.Instead.Quiet }), instead)
}

func TestPersonsSayInBothCoursesWhatTheySaid(t *testing.T) {
	p := &play{t: t, def: example(t), cut: [][2]time.Duration{{time.Minute, 9 * time.Minute}}, ends: 9 * time.Minute}
	p.says = func(at time.Duration, rec *pair.Record) {
		if at >= 3*time.Minute && at < 3*time.Minute+5*time.Second && rec.Pause == nil {
			rec.Pause, rec.Epoch = &pair.Pause{Owner: "ann", Reason: "cabling"}, rec.Epoch+1
		}
	}
	h := history(t, p.run())
	got, err := h.WhatIf([]replay.Edit{{Path: "failover.confirmAfter", Value: "5"}})
	if err != nil {
		t.Fatal(err)
	}
	rows := told(got.Steps)
	if i := slices.IndexFunc(rows, func(s string) bool { return strings.Contains(s, "release-paused release: second to None") }); i < 0 {
		t.Errorf("ann's pause does not release the later fence:\n%s", strings.Join(rows, "\n"))
	}
}

func TestEditsAreReadAsAPairFileIs(t *testing.T) {
	d := example(t)
	tests := []struct {
		edit string
		says string // empty is taken
	}{
		{"failover.confirmAfter=5", ""},
		{"mode=recommend", ""},
		{"failover.holdDown=1m", ""},
		{"loadBalancers[0].probe.interval=10s", ""},
		{"loadBalancers[0].pools=[\"loadmasters\"]", ""},
		{"ha.preferred=none", ""},
		{"failover.confirmAfter=0", `field "failover.confirmAfter": 0: expected a whole number from 1 to 20`},
		{"failover.confirmAfter=many", `"many": expected a whole number`},
		{"failover.confirmAfter=null", "expected"},
		{"failover.confirmAfter=1", `field "failover.confirmAfter"`}, // below suspectAfter
		{"failover.confirmAftr=5", `did you mean "confirmAfter"?`},
		{"nonsense.at.all=5", "unknown key"},
		{"mode.auto=5", "no mapping"},
		{"loadBalancers[7].name=x", "no list with an item 7"},
		{"mode[0]=x", "no list"},
		{"name=other", "the pair's own, edge-weu"},
		{"kind=Pear", "kind"},
		{"units.first.address=10.0.0.5", "expected"},
	}
	for _, tt := range tests {
		t.Run(tt.edit, func(t *testing.T) {
			e, err := replay.ParseEdit(tt.edit)
			if err != nil || e.String() != tt.edit {
				t.Fatalf("got %v, %v", e, err)
			}
			got, err := replay.Edited(d, []replay.Edit{e})
			if tt.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want invalid with %q", err, tt.says)
			}
			if problems, ok := errors.AsType[manifest.Problems](err); ok && (problems[0].Line != 0 || strings.HasPrefix(err.Error(), ":")) {
				t.Errorf("%v names a line of a file that nobody wrote", err)
			}
			if got.Name != d.Name {
				t.Error("after a refusal the definition is another one")
			}
		})
	}
	both, err := replay.Edited(d, []replay.Edit{{Path: "failover.confirmAfter", Value: "7"}, {Path: "failover.suspectAfter", Value: "6"}})
	if err != nil || both.Failover.ConfirmAfter != 7 || both.Failover.SuspectAfter != 6 {
		t.Errorf("two edits that need each other: %+v, %v", both.Failover, err)
	}
	if same, err := replay.Edited(d, nil); err != nil || !equal(same, d) {
		t.Errorf("no edits change the definition: %v", err)
	}
	for _, text := range []string{"", "=", "mode", "mode=", "=5", "a b=5", "mode[=5", "mode..x=1", "x[99999]=1", strings.Repeat("x", 201) + "=1"} {
		if _, err := replay.ParseEdit(text); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%q was taken: %v", text, err)
		}
	}
}

func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// FuzzRead feeds the reader, and whatever it takes to both uses of it.
func FuzzRead(f *testing.F) {
	// The seeds are small, because large ones are made smaller for a minute each.
	const two = `[{"id":"e-000000000002-001","kind":"decided","body":{"decision":{"v":1,"row":"healthy"},"input":{"definition":{"name":"e"},` +
		`"record":{"epoch":1},"observation":{"at":"2026-11-22T21:00:00Z","units":[{"check":{"answer":"200"}},{"check":{"answer":"503"}}]}}}},` +
		`{"id":"e-000000000003-001","kind":"decided","body":{"decision":{},"input":{"definition":{"name":"e"},"record":{"admin":[{"unit":"second"}]},` +
		`"observation":{"at":"2026-11-22T21:01:00Z","units":[{},{}],"balancers":[{"pools":[{}]}]}}}}]`
	f.Add([]byte(two), "mode=auto")
	f.Add([]byte(`{"v":1,"entries":[]}`), "loadBalancers[0].name=x")
	f.Add([]byte(`[{"id":"e","kind":"decided","body":{"decision":{},"input":{"definition":{"name":"e"},"record":{"admin":[{"unit":"unknown"}]}}}}]`), "")
	f.Fuzz(func(t *testing.T, b []byte, set string) {
		h, err := replay.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		if v, err := h.Check(); err == nil && v.Same > v.Decisions || err != nil && !errors.Is(err, pair.ErrUnreadable) {
			t.Errorf("got %+v, %v", v, err)
		}
		var edits []replay.Edit // none is another way through
		if e, err := replay.ParseEdit(set); err == nil {
			edits = append(edits, e)
		}
		if _, err := h.WhatIf(edits); err != nil && !errors.Is(err, pair.ErrUnreadable) && !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}
