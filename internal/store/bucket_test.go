package store

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestABudgetIsABucketOfTokens(t *testing.T) {
	read, write := requests{reads: 1}, requests{writes: 1}
	ahead := noon.Add(time.Hour)
	tests := []struct {
		name string
		b    budget
		n    requests
		want time.Duration
	}{
		{"nothing is always there", budget{}.spent(requests{125, 100}, noon), requests{}, 0},
		{"a full one gives a whole burst of both kinds", budget{}, requests{125, 100}, 0},
		{"one that was full long ago is no fuller", budget{ReadsFullAt: noon.Add(-time.Hour)}.spent(requests{reads: 125}, noon), read, 80 * time.Millisecond},
		{"the next read comes after a twelfth of a second", budget{}.spent(requests{reads: 125}, noon), read, 80 * time.Millisecond},
		{"the next write comes after most of a second", budget{}.spent(requests{writes: 100}, noon), write, 800 * time.Millisecond},
		{"spent reads leave the writes", budget{}.spent(requests{reads: 125}, noon), requests{writes: 100}, 0},
		{"both kinds wait for the slower one", budget{}.spent(requests{125, 100}, noon), requests{1, 1}, 800 * time.Millisecond},
		{"what is there is not enough for more", budget{}.spent(requests{reads: 120}, noon), requests{reads: 7}, 160 * time.Millisecond},
		{"what was spent before is back", budget{}.spent(requests{reads: 125}, noon.Add(-10*time.Second)), requests{reads: 125}, 0},
		{"what was spent without asking is a debt", budget{}.spent(requests{reads: 130}, noon), read, 6 * 80 * time.Millisecond},
		{"a debt is no deeper than a burst", budget{}.spent(requests{reads: 9999}, noon), read, 10*time.Second + 80*time.Millisecond},
		{"a rest lasts as long as was asked, and saves nothing up", budget{}.rested(time.Minute, noon), read, time.Minute + 80*time.Millisecond},
		{"a rest is of both kinds", budget{}.rested(time.Minute, noon), write, time.Minute + 800*time.Millisecond},
		{"a shorter rest leaves the longer one", budget{}.rested(time.Minute, noon).rested(time.Second, noon), read, time.Minute + 80*time.Millisecond},
		{"a rest is at most ten minutes", budget{}.rested(time.Hour, noon), read, 10*time.Minute + 80*time.Millisecond},
		{"a rest of unknown length saves nothing up", budget{}.rested(0, noon), read, 80 * time.Millisecond},
		{"what is spent while it rests does not end the rest", budget{}.rested(time.Minute, noon).spent(read, noon), read, time.Minute + 80*time.Millisecond},
		{"what a clock noted that was ahead is an empty bucket", budget{ReadsFullAt: ahead}, read, 80 * time.Millisecond},
		{"the longest rest seen from a clock that is behind is none of these", budget{}.rested(time.Hour, noon.Add(LeaseSkew)), read, 10*time.Minute + LeaseSkew + 80*time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.b.wait(tt.n, noon); got != tt.want {
				t.Errorf("%+v: %+v must wait %v, want %v", tt.b, tt.n, got, tt.want)
			}
		})
	}
}

func TestABudgetIsAstrayWhenOneOfItsTimesIs(t *testing.T) {
	longest := budget{}.rested(time.Hour, noon)
	for _, tt := range []struct {
		b    budget
		now  time.Time
		want bool
	}{
		{budget{}, noon, false},
		{longest, noon.Add(-LeaseSkew), false},
		{budget{ReadsFullAt: longest.ReadsFullAt}, noon.Add(-LeaseSkew - 1), true},
		{budget{WritesFullAt: longest.WritesFullAt}, noon.Add(-LeaseSkew - 1), true},
	} {
		if got := tt.b.astray(tt.now); got != tt.want {
			t.Errorf("%+v at %v: got %t, want %t", tt.b, tt.now, got, tt.want)
		}
	}
}

func TestAPortionIsWhatIsNeededAndMoreIfThereIsMore(t *testing.T) {
	full := budget{}
	for _, tt := range []struct {
		name          string
		b             budget
		n, more, want requests
	}{
		{"a full budget gives all that is wished", full, requests{1, 1}, requests{19, 4}, requests{20, 5}},
		{"what is not wished is not given", full, requests{1, 0}, requests{}, requests{1, 0}},
		{"a need larger than a portion is met", full, requests{50, 0}, requests{19, 0}, requests{69, 0}},
		{"little is given to the last one", full.spent(requests{reads: 115}, noon), requests{1, 0}, requests{19, 0}, requests{10, 0}},
		{"a debt gives nothing beside nothing", full.spent(requests{130, 200}, noon), requests{}, requests{19, 4}, requests{}},
	} {
		if got := tt.b.portion(tt.n, tt.more, noon); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// meter checks that what is sent never exceeds a burst and a rate, over no
// window of time.
type meter struct {
	burst time.Duration // as the time in which it comes together
	each  time.Duration
	full  time.Time
}

func (m *meter) exceeds(n int, at time.Time) bool {
	if m.full.Before(at) {
		m.full = at
	}
	m.full = m.full.Add(time.Duration(n) * m.each)
	return m.full.After(at.Add(m.burst))
}

// TestNoBudgetGivesMoreThanItHas spends a budget at random, over random times,
// by processes whose clocks differ: over no window more is given than a burst
// and the rate, and what the clocks differ.
func TestNoBudgetGivesMoreThanItHas(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 4))
		reads := meter{burst: readAllowance.window() + LeaseSkew, each: readAllowance.each}
		writes := meter{burst: writeAllowance.window() + LeaseSkew, each: writeAllowance.each}
		var b budget
		now := noon
		for range 400 {
			now = now.Add(time.Duration(rng.ExpFloat64() * float64(200*time.Millisecond)).Truncate(time.Millisecond))
			local := now.Add(time.Duration(rng.Int64N(int64(LeaseSkew))).Truncate(time.Millisecond))
			n := requests{rng.IntN(6), rng.IntN(2)}
			if rng.IntN(20) == 0 {
				n.reads = rng.IntN(readAllowance.burst + 1)
			}
			wait := b.wait(n, local)
			if wait > 0 {
				if b.wait(n, local.Add(wait-time.Millisecond)) == 0 || b.wait(n, local.Add(wait)) != 0 {
					t.Fatalf("seed %d: %+v of %+v is not there exactly after %v", seed, n, b, wait)
				}
				continue
			}
			b = b.spent(n, local)
			if reads.exceeds(n.reads, now) || writes.exceeds(n.writes, now) {
				t.Fatalf("seed %d: %+v at %v is too much", seed, n, now.Sub(noon))
			}
		}
	}
}
