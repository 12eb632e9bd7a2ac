// Package eventgrid is a stand-in of Event Grid basic: it validates webhook
// subscriptions, pushes events to them in either schema with the real
// service's retries and dead-lettering, and takes events for a custom topic.
// Delivery is at least once and in no order; a story can make it worse at run
// time. The facts are in functions-host.md 5.3 and azure.md 4 and 7. What
// raises the platform's events is left to others.
package eventgrid

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what stays the same while a grid runs.
type Options struct {
	// Seed starts the grid's random streams.
	Seed uint64
	// Phase is added to every first delivery, so that it never falls in the
	// same instant as another actor's timer.
	Phase time.Duration
	// Delay is the time from publishing to the first delivery, and Jitter a
	// random time added to it for each copy of each event.
	Delay, Jitter time.Duration
	// MaxDeliveryAttempts is 1 to 30; anything else means 30.
	MaxDeliveryAttempts int
	// TimeToLive is 1 minute to 24 hours; anything else means 24 hours.
	TimeToLive time.Duration
}

// Faults make delivery worse than usual, for events published from then on.
// The zero value is a good day.
type Faults struct {
	// Duplicate is how many times more than once every event is delivered.
	Duplicate int
	// Late is added to the time before the first delivery.
	Late time.Duration
	// Lose is the probability, 0 to 1, that a subscription never gets an
	// event; neither a retry nor a dead letter shows it.
	Lose float64
	// Reorder is the longest random time that is added to a first delivery;
	// within a batch the order is random as well.
	Reorder time.Duration
}

// Reason says why an event was given up.
type Reason int

// The reasons of dead letters; the zero value is none of them.
const (
	Undeliverable     Reason = iota + 1 // a status that isn't retried
	AttemptsExhausted                   // MaxDeliveryAttempts
	Expired                             // TimeToLive would end before the next try
)

// String returns the reason as Event Grid writes it into a dead letter.
func (r Reason) String() string {
	switch r {
	case Undeliverable:
		return "Undeliverable"
	case AttemptsExhausted:
		return "MaxDeliveryAttemptsExceeded"
	case Expired:
		return "TimeToLiveExceeded"
	}
	return "unknown reason"
}

// DeadLetter is an event that a subscription never took. A real one is
// written to a storage container some five minutes later, if dead-lettering
// is on; here it is listed at once.
type DeadLetter struct {
	Subscription string
	Event        json.RawMessage // as it was sent
	Reason       Reason
	Attempts     int
	LastStatus   int // 0 when the last try got no answer
	At           time.Time
}

// Grid delivers events until it is closed.
type Grid struct {
	client  *http.Client
	options Options
	log     func(event string)

	// ctx ends with Close. It is kept because deliveries belong to the grid
	// and not to whoever published the event.
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu            sync.Mutex // guards the fields below; never held across a wait
	closed        bool
	random        *rand.Rand
	serial        uint64
	faults        Faults
	subscriptions []*subscription
	outstanding   int
	settled       chan struct{} // closed when outstanding falls to 0
	dead          []DeadLetter
	published     []json.RawMessage
	taken         []*parcel               // that a subscription took, each event once, in that order
	knownTaken    map[string]bool         // subscription and id of those events
	health        map[string]Availability // what was told last, by lower-case VM id
}

// New makes a grid that sends through client and reports what it does to log,
// one line for each step; log must not call the grid and may be nil. The
// client's own timeout isn't needed.
func New(client *http.Client, options Options, log func(event string)) *Grid {
	if options.MaxDeliveryAttempts < 1 || options.MaxDeliveryAttempts > 30 {
		options.MaxDeliveryAttempts = 30
	}
	if options.TimeToLive < time.Minute || options.TimeToLive > 24*time.Hour {
		options.TimeToLive = 24 * time.Hour
	}
	if log == nil {
		log = func(string) {}
	}
	g := &Grid{
		client:  client,
		options: options,
		log:     log,
		random:  rand.New(rand.NewPCG(options.Seed, 0x67726964)),
		settled: make(chan struct{}),
		health:  map[string]Availability{},

		knownTaken: map[string]bool{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// SetFaults changes how events published from now on are delivered.
func (g *Grid) SetFaults(faults Faults) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = faults
}

// Faults returns what SetFaults set last.
func (g *Grid) Faults() Faults {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.faults
}

// DeadLetters lists the events that were given up, in the order of giving up.
func (g *Grid) DeadLetters() []DeadLetter {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.dead)
}

// Publish hands an event to every subscription that wants it and returns at
// once. After Close it does nothing. Data that can't be written as JSON is a
// mistake in the program and panics.
func (g *Grid) Publish(event Event) {
	if _, err := event.encode(EventGridSchema); err != nil {
		panic("publish event: " + err.Error())
	}
	for _, c := range g.copies(event) {
		if c.lost {
			g.log(fmt.Sprintf("event %s %s for %s is lost", event.ID, event.Type, c.subscription.Name))
			continue
		}
		g.log(fmt.Sprintf("event %s %s for %s", event.ID, event.Type, c.subscription.Name))
		g.send(c)
	}
}

// send starts the delivery of a parcel that was counted in.
func (g *Grid) send(p *parcel) {
	go func() {
		defer g.group.Done()
		g.deliver(p)
	}()
}

// parcel is one copy of an event on its way to one subscription.
type parcel struct {
	subscription *subscription
	event        Event
	published    time.Time
	due          time.Time
	lost         bool
	shuffled     bool       // the batch that it leads has a random order
	random       *rand.Rand // for the deliveries that this copy leads
}

// copies makes the parcels of an event, with everything random about them
// drawn in the order of publishing. Those that aren't lost are counted in.
func (g *Grid) copies(event Event) []*parcel {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	var parcels []*parcel
	now := time.Now()
	for _, s := range g.subscriptions {
		if !s.wants(event) {
			continue
		}
		if g.random.Float64() < g.faults.Lose {
			parcels = append(parcels, &parcel{subscription: s, lost: true})
			continue
		}
		for range 1 + max(0, g.faults.Duplicate) {
			g.serial++
			p := &parcel{subscription: s, event: event, published: now, due: now.Add(g.firstDelay()), shuffled: g.faults.Reorder > 0}
			g.countIn(p)
			parcels = append(parcels, p)
		}
	}
	return parcels
}

// countIn puts a parcel among those that wait. g.mu is held.
func (g *Grid) countIn(p *parcel) {
	p.random = rand.New(rand.NewPCG(g.options.Seed, g.serial))
	p.subscription.waiting = append(p.subscription.waiting, p)
	g.outstanding++
	g.group.Add(1)
}

// redeliverEvery is the time between two deliveries of Redeliver.
const redeliverEvery = 10 * time.Millisecond

// Redeliver sends every event that a subscription has taken so far to it once
// more, the newest first, and all of that a number of times, whatever the
// faults. It returns the number of deliveries. What is delivered so does not
// count as taken again.
func (g *Grid) Redeliver(times int) int {
	parcels := g.repeats(times)
	for _, p := range parcels {
		g.send(p)
	}
	return len(parcels)
}

// repeats makes the parcels of Redeliver and counts them in.
func (g *Grid) repeats(times int) []*parcel {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	now := time.Now()
	parcels := make([]*parcel, 0, times*len(g.taken))
	for range times {
		for _, old := range slices.Backward(g.taken) {
			g.serial++
			after := g.options.Delay + g.options.Phase + time.Duration(len(parcels)+1)*redeliverEvery
			p := &parcel{subscription: old.subscription, event: old.event, published: now, due: now.Add(after)}
			g.countIn(p)
			parcels = append(parcels, p)
		}
	}
	return parcels
}

// noteTaken remembers what a subscription took, each event once.
func (g *Grid) noteTaken(batch []*parcel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range batch {
		if key := p.subscription.Name + "|" + p.event.ID; !g.knownTaken[key] {
			g.knownTaken[key] = true
			g.taken = append(g.taken, p)
		}
	}
}

// firstDelay gives each copy a microsecond of its own, so that two copies are
// never due in the same instant.
func (g *Grid) firstDelay() time.Duration {
	delay := g.options.Delay + g.options.Phase + g.faults.Late
	delay += g.upTo(g.options.Jitter) + g.upTo(g.faults.Reorder)
	return delay + time.Duration(g.serial%1000)*time.Microsecond
}

func (g *Grid) upTo(longest time.Duration) time.Duration {
	if longest <= 0 {
		return 0
	}
	return time.Duration(g.random.Int64N(int64(longest)))
}

// settle counts parcels out.
func (g *Grid) settle(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outstanding -= n
	if g.outstanding == 0 {
		close(g.settled)
		g.settled = make(chan struct{})
	}
}

// Wait blocks until every published event was taken, lost or dead-lettered,
// which can take a day. It is an error when ctx ends or the grid is closed
// before.
func (g *Grid) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		outstanding, settled := g.outstanding, g.settled
		g.mu.Unlock()
		if outstanding == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d deliveries: %w", outstanding, ctx.Err())
		case <-g.ctx.Done():
			return fmt.Errorf("wait for %d deliveries: the grid is closed", outstanding)
		}
	}
}

// Close gives up every delivery and waits for their goroutines. The client
// stays open: it belongs to the caller.
func (g *Grid) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.group.Wait()
}

// sleep waits and says whether the grid still runs.
func (g *Grid) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return g.ctx.Err() == nil
	case <-g.ctx.Done():
		return false
	}
}

// newGUID draws a GUID from the grid's stream.
func (g *Grid) newGUID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], g.random.Uint64())
	binary.LittleEndian.PutUint64(b[8:], g.random.Uint64())
	return guid(b[:])
}

// hasPrefixFold is how Event Grid compares subjects: letter case doesn't
// count.
func hasPrefixFold(text, prefix string) bool {
	return strings.HasPrefix(strings.ToLower(text), strings.ToLower(prefix))
}
