package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/api"
	wanted "tandem/internal/balancer" // a balancer is one of the light world here
	"tandem/internal/lab"
	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/story"
)

const (
	// settledWholeAfter is how long after its end a story of the whole world is looked
	// at that nobody interrupted, and how long one may need that was: ten minutes in
	// which a repair that failed rests, a minute in which a drift must be seen, and the
	// lease of the dead. It is looked at every so often meanwhile.
	settledWholeAfter = 15 * time.Minute
	settledWholeEvery = 20*time.Second + 59*time.Microsecond
	// killsOfAStory is how many effects of a story go wrong at most, and as many of
	// a longer one as make so many virtual minutes, but killsAtLeast.
	killsOfAStory = 6
	killsFor      = 60 * time.Minute
	killsAtLeast  = 2
	// crowd is how many clients with connections of their own a story has at most: a
	// job waits for few as for many, and they would cost more than all the rest.
	crowd = 8
	// hurried is the longest story of which one effect goes wrong with few(); the
	// longer ones are played by make test without the race detector.
	hurried = 10 * time.Minute
)

// slayer numbers the effects of a story in the whole world and lets one of them go
// wrong.
type slayer struct {
	at   int // the effect that goes wrong, from 1; 0 is none
	fate story.Fate

	mu   sync.Mutex // guards done
	done []string
}

func (s *slayer) effect(_, what string) story.Fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
	if len(s.done) == s.at {
		return s.fate
	}
	return story.Happens
}

// wholeEnding is how the whole world ends: the pairs by the operator API, and every
// document that they need, byte for byte but for what the platform chooses itself.
type wholeEnding struct {
	pairs     []string
	documents map[string]string
	err       error
}

// differs says in what another ending is not the same; empty where it is.
func (e *wholeEnding) differs(other *wholeEnding) string {
	var all []string
	if !slices.Equal(e.pairs, other.pairs) {
		all = append(all, fmt.Sprintf("the pairs are\n%s\nwant\n%s", strings.Join(e.pairs, "\n"), strings.Join(other.pairs, "\n")))
	}
	ids := maps.Clone(e.documents)
	maps.Copy(ids, other.documents)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if e.documents[id] != other.documents[id] {
			all = append(all, id+" is not the same:\n"+firstDifferences(e.documents[id], other.documents[id]))
		}
	}
	return strings.Join(all, "\n")
}

// firstDifferences shows from where on two texts are not the same.
func firstDifferences(got, want string) string {
	const shown = 12
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	part := func(lines []string) string {
		return strings.Join(lines[max(0, from-3):min(len(lines), from+shown)], "\n")
	}
	return part(a) + "\nwant\n" + part(b)
}

// lookAtEnd asks for everything when the story is about to end.
func lookAtEnd(ctx context.Context, world *lab.World) *wholeEnding {
	e := &wholeEnding{documents: map[string]string{}}
	inside := &http.Client{Transport: &http.Transport{DialContext: world.Worker().DialContext, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	c, err := api.NewClient("http://"+lab.AppName, "", inside)
	if err != nil {
		e.err = err
		return e
	}
	for _, f := range world.PairFiles() {
		s, err := c.Pair(ctx, f.Name)
		if errors.Is(err, pair.ErrNotFound) {
			e.pairs = append(e.pairs, f.Name+" is not known")
			continue
		}
		if err != nil {
			e.err = errors.Join(e.err, err)
			continue
		}
		e.pairs = append(e.pairs, endOf(s))
		e.err = errors.Join(e.err, e.read(world, f))
	}
	return e
}

// endOf is what must be the same of a pair.
func endOf(s api.Status) string {
	end := ending{
		Site: s.Name, Situation: s.Situation, Mode: s.Mode, Intents: len(s.Open), Paused: s.Pause != nil, Blocked: s.Block != nil,
	}
	for _, h := range s.Holds {
		end.Holds = append(end.Holds, fmt.Sprintf("%s is %s in %s/%s", h.Unit, h.State, h.LoadBalancer, h.Pool))
	}
	alarm, drift, job := "none", "none", "none"
	if s.Alarm != nil {
		alarm = s.Alarm.Row
	}
	if s.Drift != nil {
		drift = cmp.Or(s.Drift.Hash, s.Drift.Refusal)
	}
	if s.Job != nil {
		job = fmt.Sprintf("%s %s", s.Job.Kind, s.Job.State)
	}
	return fmt.Sprintf("%+v, alarm %s, drift %s, wish %v, job %s", end, alarm, drift, s.Wish != nil, job)
}

// read reads the documents of a pair, those that its file leads to.
func (e *wholeEnding) read(world *lab.World, f lab.PairFile) error {
	all, err := manifest.Read(f.Name, bytes.NewReader(f.YAML))
	if err != nil {
		return err
	}
	known := wanted.World{}
	for {
		missing := wanted.Reads(&all[0], known)
		if len(missing) == 0 {
			return nil
		}
		for _, id := range missing {
			doc, err := world.Document(string(id))
			if err != nil {
				return err
			}
			known[id] = doc
			if e.documents[string(id)], err = withoutVersions(doc); err != nil {
				return err
			}
		}
	}
}

// withoutVersions is a document without what the platform chooses at every write or
// when it makes a resource.
func withoutVersions(doc []byte) (string, error) {
	if doc == nil {
		return "none", nil
	}
	var d any
	if err := json.Unmarshal(doc, &d); err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(versionless(d), "", " ")
	return string(b), err
}

func versionless(d any) any {
	switch d := d.(type) {
	case map[string]any:
		delete(d, "etag")
		delete(d, "resourceGuid")
		for k, v := range d {
			d[k] = versionless(v)
		}
	case []any:
		for n, v := range d {
			d[n] = versionless(v)
		}
	}
	return d
}

// interruptedWhole plays a story in the whole world of which one effect goes wrong.
// It returns how the story ended, once that is as wanted or it had its time, and the
// promises that the journal and the log show to be broken.
func interruptedWhole(t *testing.T, sc lab.Scenario, s *slayer, want *wholeEnding) (end *wholeEnding, broken *violation) {
	t.Helper()
	ends := sc.For
	sc.For += settledWholeAfter
	sc.Clients.Count = min(sc.Clients.Count, crowd)
	synctest.Test(t, func(t *testing.T) {
		watch := &watcher{sc: sc, start: time.Now(), epochs: map[string]uint64{}}
		ctx, over := context.WithCancel(context.WithoutCancel(t.Context()))
		looked := make(chan *wholeEnding, 1)
		out, _, _, err := story.With(ctx, sc, story.Options{
			Seed: 1, Journal: true, Effect: s.effect,
			Expose: func(ctx context.Context, world *lab.World) error {
				watch.world = world
				go func() {
					looked <- lookUntil(ctx, world, ends, want)
					over()
				}()
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		end = <-looked
		watch.journal(out.Entries)
		watch.transcript(out)
		broken = watch.found
	})
	return end, broken
}

// lookUntil looks at a world from the end of its story on, until all is as wanted or
// it had its time; at once at the end of that where nothing is wanted yet.
func lookUntil(ctx context.Context, world *lab.World, ends time.Duration, want *wholeEnding) (end *wholeEnding) {
	last := time.Now().Add(ends + settledWholeAfter - settledWholeEvery)
	time.Sleep(ends)
	if want == nil {
		time.Sleep(time.Until(last))
		return lookAtEnd(ctx, world)
	}
	for {
		time.Sleep(settledWholeEvery)
		end = lookAtEnd(ctx, world)
		if end.err == nil && end.differs(want) == "" || !time.Now().Before(last) {
			return end
		}
	}
}

// TestKillPointsOfTheWholeWorld does what TestKillPointsOfStories does for the
// stories that the light world cannot play: with the real clients and handlers over
// the lab, so that each costs a hundred times as much. Not every effect goes wrong,
// therefore, but at most killsOfAStory of each story, the same ones each time: first
// those on Resource Manager, one of each kind, then others spread over the whole
// story, and over another part of it in each. That takes about three minutes on two
// cores; with few() one effect of each story of at most ten minutes does, in half a
// minute.
//
// An effect on a unit is none of those that go wrong. But it lies between the write
// that begins its intent and the one that closes it, so that the death after the one
// is the death before the effect, and the death before the other the one after it.
func TestKillPointsOfTheWholeWorld(t *testing.T) {
	all, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range all {
		switch why := wholeOnly(sc); {
		case why == "" || few() && sc.For > hurried:
			continue
		case why == needsGEO || why == needsSettings: // TestATopologysPassIsCarriedOnAfterEachEffect and TestASyncThatStopsAfterAnyEffectIsCarriedOn have theirs
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			killWhole(t, sc)
		})
	}
}

func killWhole(t *testing.T, sc lab.Scenario) {
	t.Helper()
	s := &slayer{}
	want, broken := interruptedWhole(t, sc, s, nil)
	if want.err != nil || broken != nil {
		t.Fatalf("uninterrupted: %v, %v", want.err, broken)
	}
	n := min(killsOfAStory, max(killsAtLeast, int(killsFor/sc.For)))
	if few() {
		n = 1
	}
	chosen := chosenEffects(sc.Name, s.done, n)
	for _, at := range chosen {
		for _, f := range []story.Fate{story.Fails, story.Unanswered} {
			got, broken := interruptedWhole(t, sc, &slayer{at: at, fate: f}, want)
			words := fmt.Sprintf("effect %d of %d, %s, %s", at, len(s.done), s.done[at-1], [...]string{"done", "failed", "unknown"}[f])
			if diff := got.differs(want); diff != "" || got.err != nil {
				t.Errorf("%s: %v\n%s", words, got.err, diff)
			}
			if broken != nil {
				t.Errorf("%s: it breaks %s", words, broken)
			}
		}
	}
	t.Logf("%d effects, of which went wrong %v", len(s.done), chosen)
}

// chosenEffects are the numbers of so many effects of a story: the first of each kind
// on Resource Manager or the topic, for half of them at most, and the others in equal
// steps.
func chosenEffects(name string, done []string, n int) []int {
	chosen := map[int]bool{}
	seen := map[string]bool{}
	for at, what := range done {
		if what != story.OnStore && !seen[what] && len(chosen) < (n+1)/2 {
			seen[what], chosen[at+1] = true, true
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	step := max(1, len(done)/max(1, n-len(chosen)))
	for at := int(h.Sum32() % uint32(step)); at < len(done) && len(chosen) < n; at += step {
		chosen[at+1] = true
	}
	return slices.Sorted(maps.Keys(chosen))
}
