package faults

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Worlds come and go by the thousand; memory is not what is short.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(768 << 20)
	os.Exit(m.Run())
}

const (
	sequences = 2000
	steps     = 200
)

// patience is how long, in real time, one sequence may take before somebody must
// look where it hangs.
const patience = 2 * time.Minute

// firstSeed is what FAULTS_SEED says, 1 where it says nothing.
func firstSeed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("FAULTS_SEED")
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("FAULTS_SEED %q: expected a number", text)
	}
	return seed
}

// few reports whether a tenth is to be played: in a hurry, or under the race
// detector.
func few() bool { return testing.Short() || raceDetector }

// finding is a broken promise and the story in which it was broken.
type finding struct {
	seed    uint64
	story   lab.Scenario
	healing int // steps at its end
	what    violation
	world   string
}

// playIn plays a story in a light world of its own and returns the promise that
// it broke, if any. In verbose runs it is told what happens.
func playIn(t *testing.T, sc lab.Scenario, seed uint64, healing int, change ...func(*world)) (found *finding) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(sc, seed, newLedger())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, c := range change {
			c(w)
		}
		w.play(context.Background(), healedFor-healedSoon, w.settled())
		if healing > 0 && !w.check.broken() {
			w.check.ended()
		}
		if len(w.failed) > 0 {
			t.Errorf("seed %d: the story cannot be played: %v", seed, w.failed)
		}
		if w.check.found != nil {
			found = &finding{seed: seed, story: sc, healing: healing, what: *w.check.found, world: w.describe()}
		}
	})
	return found
}

// settled returns what reports whether nothing is left, twice in a row ten
// seconds apart.
func (w *world) settled() func() bool {
	var since time.Time
	return func() bool {
		switch {
		case w.unsettled() != "":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) >= 10*time.Second
	}
}

// verbosely has a world tell what happens, where one story is played by go test
// -v.
func verbosely(t *testing.T, is bool) func(*world) {
	return func(w *world) {
		if is && testing.Verbose() {
			w.log = func(format string, args ...any) { t.Logf("%v %s", time.Since(w.start), fmt.Sprintf(format, args...)) }
			w.check.told, w.check.thorough = true, true
		}
	}
}

// TestRandomFaultsInMemory plays random sequences of all faults in the light
// world.
func TestRandomFaultsInMemory(t *testing.T) {
	n := sequences
	if few() {
		n /= 10
	}
	if os.Getenv("FAULTS_SEED") != "" {
		n = 1
	}
	first := firstSeed(t)
	began, cpu := time.Now(), cpuTime()
	won := &tally{rows: map[string]int{}}
	found := inParallel(t, first, n, func(t *testing.T, seed uint64) *finding {
		sc, healing := generate(seed, steps)
		var played *world
		f := playIn(t, sc, seed, healing, verbosely(t, n == 1), func(w *world) { played = w })
		won.add(played.check.rows)
		return f
	})
	took, used := time.Since(began), cpuTime()-cpu
	t.Logf("seeds %d to %d: %d sequences of %d steps in %v, %.1f a second, %v of CPU for a step", first, first+uint64(n)-1, n, steps,
		took.Round(time.Millisecond), float64(n)/took.Seconds(), (used / time.Duration(n*steps)).Round(time.Microsecond))
	won.log(t)
	if n > 1 {
		won.demand(t)
	}
	for _, f := range found {
		report(t, f)
	}
}

// tally counts which rows of the decision table won.
type tally struct {
	mu   sync.Mutex
	rows map[string]int
}

func (c *tally) add(rows map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for row, n := range rows {
		c.rows[row] += n
	}
}

// log tells which rows won how often, and which never did.
func (c *tally) log(t *testing.T) {
	t.Helper()
	var words []string
	for _, row := range slices.Sorted(maps.Keys(c.rows)) {
		words = append(words, fmt.Sprintf("%s %d", row, c.rows[row]))
	}
	t.Logf("decisions by row: %s", strings.Join(words, ", "))
	var never []string
	for _, row := range pair.Rows() {
		if c.rows[row.Name] == 0 {
			never = append(never, row.Name)
		}
	}
	t.Logf("rows that never won: %s", strings.Join(never, ", "))
}

// demand wants the rows of every lever to have won: faults that reach none of
// them would find nothing.
func (c *tally) demand(t *testing.T) {
	t.Helper()
	for _, row := range []string{
		"fence", "fence-renewed", "fence-again", "release-expired", "release-survivor", "release-healed", "release-paused", "release-blind",
		"release-mode", "prove", "prove-ends", "up", "release-up", "start", "restart", "preference", "set-up", "set-up-planned", "both-active-planned", "paused", "blind",
	} {
		if c.rows[row] == 0 {
			t.Errorf("row %s never won: the faults do not reach it", row)
		}
	}
}

// inParallel plays the seeds on all cores and returns what was found, one for
// each rule.
func inParallel(t *testing.T, first uint64, n int, play func(*testing.T, uint64) *finding) []*finding {
	var (
		next  atomic.Int64
		mu    sync.Mutex
		found []*finding
	)
	t.Run("sequences", func(t *testing.T) {
		for core := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(core), func(t *testing.T) {
				t.Parallel()
				for {
					i := next.Add(1) - 1
					if i >= int64(n) || t.Failed() {
						return
					}
					seed := first + uint64(i)
					watch := time.AfterFunc(patience, func() {
						debug.SetTraceback("all")
						panic(fmt.Sprintf("seed %d hangs", seed))
					})
					f := play(t, seed)
					watch.Stop()
					if f == nil {
						continue
					}
					mu.Lock()
					if !slices.ContainsFunc(found, func(o *finding) bool { return o.what.rule == f.what.rule }) {
						found = append(found, f)
					}
					mu.Unlock()
				}
			})
		}
	})
	return found
}

// report makes a finding shorter, keeps it as a story, and tells of it.
func report(t *testing.T, f *finding) {
	t.Helper()
	short, what, world := shrink(t, f)
	tell(t, f, short, what, world, "TestRandomFaultsInMemory")
}

// tell keeps a finding as a story and tells of it.
func tell(t *testing.T, f *finding, short lab.Scenario, what violation, world, test string) {
	t.Helper()
	comment := fmt.Sprintf("Found by seed %d of %s and made shorter from %d steps to %d.\nIt breaks %s", f.seed, test, len(f.story.Steps), len(short.Steps), what.String())
	name := filepath.Join("found", fmt.Sprintf("%s-%s.yaml", short.Name, strings.ToLower(strings.TrimPrefix(test, "TestRandomFaults"))))
	err := os.MkdirAll("found", 0o755)
	if err == nil {
		err = os.WriteFile(name, storyOf(short, comment), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
	t.Errorf("seed %d breaks %s\nrun it again: FAULTS_SEED=%d go test -run '^%s$' ./internal/faults\nmade shorter from %d to %d steps: internal/faults/%s\n%s",
		f.seed, what.String(), f.seed, test, len(f.story.Steps), len(short.Steps), filepath.ToSlash(name), world)
}

// shrink drops steps for as long as the same promise is broken. The healing
// stays, because without it nothing has to converge.
func shrink(t *testing.T, f *finding) (lab.Scenario, violation, string) {
	t.Helper()
	best, what, world := f.story, f.what, f.world
	try := func(sc lab.Scenario) bool {
		again := playIn(t, sc, f.seed, f.healing)
		if again == nil || again.what.rule != f.what.rule {
			return false
		}
		best, what, world = sc, again.what, again.world
		return true
	}
	for n := (len(best.Steps) - f.healing) / 2; n >= 1; n /= 2 {
		for i := 0; i < len(best.Steps)-f.healing; {
			less := best
			less.Steps = slices.Delete(slices.Clone(best.Steps), i, min(i+n, len(best.Steps)-f.healing))
			if !try(setClocks(less, f.healing)) {
				i += n
			}
		}
	}
	less := best
	less.Options = nil
	try(less)
	if what.promise != promiseConverge {
		less = best
		less.Steps, less.For = best.Steps[:len(best.Steps)-f.healing], what.at+time.Minute
		try(less)
	}
	return best, what, world
}

// TestStory plays the story in the file that FAULTS_STORY names in the light
// world, or in the lab's if it was found there, and tells of it.
func TestStory(t *testing.T) {
	file := os.Getenv("FAULTS_STORY")
	if file == "" {
		t.Skip("FAULTS_STORY names no story")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := lab.ReadScenario(file, b)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, "-wholeworld.yaml") {
		if f := playWhole(t, sc, firstSeed(t)); f != nil {
			t.Errorf("it breaks %s\n%s", f.what.String(), f.world)
		}
		return
	}
	healing := 0
	if slices.ContainsFunc(sc.Steps, func(st lab.Step) bool { return st.Do == "" }) {
		healing = 1
	}
	f := playIn(t, sc, firstSeed(t), healing, verbosely(t, true))
	if f != nil {
		t.Errorf("it breaks %s\n%s", f.what.String(), f.world)
	}
}
