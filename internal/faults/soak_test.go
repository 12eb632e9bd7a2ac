package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

var soaks = flag.Bool("soak", false, "play random faults until stopped")

const (
	// tellEvery is the time between two lines of progress, in real time.
	tellEvery = 10 * time.Second
	// wholeEvery is how often a sequence goes through the whole world.
	wholeEvery = 100
)

// TestSoak plays random sequences until somebody stops it, and keeps what it
// finds as stories. It is what make soak runs.
func TestSoak(t *testing.T) {
	if !*soaks {
		t.Skip("played by make soak, until it is stopped")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &soak{t: t, began: time.Now(), first: uint64(time.Now().Unix()), rules: map[string]bool{}}
	if os.Getenv("FAULTS_SEED") != "" {
		s.first = firstSeed(t)
	}
	fmt.Printf("random faults from seed %d on, until you stop them (Ctrl-C)\n", s.first)
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.progress(ctx)
	}()
	t.Run("until stopped", func(t *testing.T) {
		for core := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(core), func(t *testing.T) {
				t.Parallel()
				for ctx.Err() == nil {
					s.one(t)
				}
			})
		}
	})
	<-told
	fmt.Println("stopped: " + s.line())
}

// soak counts what was played and found.
type soak struct {
	t     *testing.T
	began time.Time
	first uint64

	mu        sync.Mutex // guards what follows
	next      uint64
	sequences int
	whole     int
	steps     int
	findings  int
	rules     map[string]bool // broken ones that were told of
}

// one plays the next seed.
func (s *soak) one(t *testing.T) {
	s.mu.Lock()
	n := s.next
	s.next++
	s.mu.Unlock()
	seed, steps, whole := s.first+n, steps, n%wholeEvery == wholeEvery-1
	var f *finding
	if whole {
		steps = wholeSteps
		sc, healing := generateWhole(t, seed)
		if f = playWhole(t, sc, seed); f != nil {
			f.healing = healing
		}
	} else {
		sc, healing := generate(seed, steps)
		f = playIn(t, sc, seed, healing)
	}
	s.mu.Lock()
	s.sequences++
	s.steps += steps
	if whole {
		s.whole++
	}
	fresh := f != nil && !s.rules[f.what.rule]
	if f != nil {
		s.findings++
		s.rules[f.what.rule] = true
	}
	s.mu.Unlock()
	if !fresh {
		return
	}
	fmt.Printf("\nseed %d breaks %s\n", seed, f.what.String())
	if whole {
		tell(t, f, f.story, f.what, f.world, "TestRandomFaultsWholeWorld")
	} else {
		report(t, f)
	}
}

// progress tells now and then how it goes, until ctx ends.
func (s *soak) progress(ctx context.Context) {
	beat := time.NewTicker(tellEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Println()
			return
		case <-beat.C:
			fmt.Println(s.line())
		}
	}
}

func (s *soak) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Since(s.began)
	return fmt.Sprintf("%v: %d sequences (%d through the whole world), %d steps, %.1f sequences a second, %d findings of %d kinds",
		took.Round(time.Second), s.sequences, s.whole, s.steps, float64(s.sequences)/took.Seconds(), s.findings, len(s.rules))
}
