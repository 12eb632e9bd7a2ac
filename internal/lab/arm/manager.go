// Package arm is the simulated Azure Resource Manager: one http.Handler that
// the unmodified SDK clients of armnetwork and armcompute talk to, with the
// ETags, long operations, supersession, locks, throttling and refusals that
// the SDK's own fakes leave out (azure.md 9).
//
// Resources are kept as JSON documents, so that what this package does not
// know survives. What the traffic does with a load balancer is left to the
// data path, and what a machine does with its power to the OnPower callback.
package arm

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"tandem/internal/lab/dataplane"
)

// DataPath is what carries the traffic of the load balancers; it is called in
// the order in which changes take effect.
type DataPath interface {
	Apply(lb dataplane.LoadBalancer)
	Remove(id string)
	// Guard puts the security groups of all interfaces in place.
	Guard(interfaces []dataplane.Interface)
	Health(id, rule string) []dataplane.BackendHealth
	// Availability is called with the manager locked, so it must not call it.
	Availability(id string, from, until time.Time) []dataplane.Availability
}

// Config is what a Manager is made of.
type Config struct {
	Subscriptions []string // at least one; others are not found
	// ResourceGroups are those that exist, in every subscription; others are
	// not found. Empty means that any does.
	ResourceGroups []string
	TenantID       string // for events; may be empty
	Seed           uint64 // chooses all ids, ETags included
	Options        Options

	// Tokens are bearer tokens and whose they are. Any other token must be a
	// JWT, the signature of which is not looked at.
	Tokens map[string]Principal
	// Audiences are those a JWT may be for; empty means that any will do.
	Audiences []string

	// Log gets a sentence about each write, refusal, fault and VM action. It
	// may be nil.
	Log func(event string)
	// OnEvent is told of the end of each write, delete and VM action, as Event
	// Grid is (azure.md 4.3). It may be nil.
	OnEvent func(Event)
	// OnPower is told to move the machine; a delete deallocates it. It may be
	// nil.
	OnPower func(vmID string, action PowerAction)
}

// Options are behaviours of the platform that vary or that no document
// settles. The zero value is what was recorded or documented. Where a
// duration is zero its default counts; a negative one means none.
type Options struct {
	FirstAnswer FirstAnswer
	SecondWrite SecondWrite
	PoolIfMatch IfMatch
	TagsIfMatch IfMatch
	// InterfaceIfMatch is for PUTs of network interfaces, which the recorded
	// refusals of a stale ETag do not show (azure.md 1.9).
	InterfaceIfMatch IfMatch
	// CreateIfNoneMatch is for PUTs with If-None-Match: *, which no document
	// tells of.
	CreateIfNoneMatch IfMatch
	TagsPatch         TagsPatch
	Unseen            Unseen
	// ShowNICAddresses puts ipAddress beside the interface reference in pools
	// of network interfaces; the API description does not say that it is
	// there, so by default it is not.
	ShowNICAddresses bool
	// PageSize is how many resources a page of a list holds; zero means 100. The
	// service tells by a nextLink that there is more, and no document how much
	// fits.
	PageSize int

	AsyncDelay    time.Duration // until a write has ended; default 3 s
	EffectDelay   time.Duration // from then until the data path follows; default 1 s
	HealthDelay   time.Duration // until the health action answers; default 2 s
	VMActionDelay time.Duration // until a VM action has ended; default 20 s
	MetricsDelay  time.Duration // from the end of a minute until its metrics are there; default 1 min (azure.md 3)
	// RetryAfter is sent with long operations and locks, rounded up to whole
	// seconds; default none for operations and 5 s for locks.
	RetryAfter time.Duration
	// Phase is added to every delay, so that no timer of another actor fires
	// in the same instant: whole microseconds, distinct for each actor.
	Phase time.Duration

	Reads, Writes Bucket // throttling of each principal in each subscription
}

// FirstAnswer is the provisioning state in the first answer to a write. With
// Succeeded the SDK never polls, although the traffic has not moved yet
// (azure.md 1.9).
type FirstAnswer int

// The first answers.
const (
	AsRecorded      FirstAnswer = iota // Succeeded for a load balancer, Updating for its children and the rest
	AlwaysUpdating                     // Updating for everything
	AlwaysSucceeded                    // Succeeded for everything
)

// String returns the choice as a word.
func (f FirstAnswer) String() string {
	return word(int(f), "as recorded", "always updating", "always succeeded")
}

// SecondWrite is what happens to a write on a resource while another one
// runs; both answers were seen (azure.md 1.9).
type SecondWrite int

// The choices.
const (
	Supersedes SecondWrite = iota // the first ends Canceled, CanceledAndSupersededDueToAnotherOperation
	Refused                       // 429 RetryableErrorDueToAnotherOperation
)

// String returns the choice as a word.
func (s SecondWrite) String() string { return word(int(s), "supersedes", "refused") }

// IfMatch says whether a condition counts where no document tells (azure.md
// 1.9): If-Match on writes of pools and NAT rules, of network interfaces and on
// a PATCH of tags, and If-None-Match on a PUT. If-Match on a PUT of any other
// whole resource always counts.
type IfMatch int

// The choices.
const (
	Honoured IfMatch = iota
	Ignored
)

// String returns the choice as a word.
func (i IfMatch) String() string { return word(int(i), "honoured", "ignored") }

// TagsPatch is what a PATCH does to the tags that it does not name. The API
// description calls the operation "update" and says no more (azure.md 1.1).
type TagsPatch int

// The choices.
const (
	Replaces TagsPatch = iota // they are gone: the body is the whole set
	Merges                    // they stay
)

// String returns the choice as a word.
func (t TagsPatch) String() string { return word(int(t), "replaces", "merges") }

// Unseen is what reads show of a write that is called Succeeded and has not
// taken effect, which is what the faults Late and NoEffect make of one. No
// document tells; recorded reads show a write as soon as it is answered.
type Unseen int

// The choices. With ShowsOld a read before a Late write's effect is stale as a
// whole, its ETag too, so that a write built on it is refused; of a write
// without an effect nothing but its new ETag is ever read. Either way a later
// write that is not late shows what was kept before it, and takes it along,
// unless it is of tags alone.
const (
	ShowsNew Unseen = iota // the new value, at once
	ShowsOld               // the old value, until the effect
)

// String returns the choice as words.
func (u Unseen) String() string { return word(int(u), "shows new", "shows old") }

func word(i int, words ...string) string {
	if i < 0 || i >= len(words) {
		return fmt.Sprintf("unknown(%d)", i)
	}
	return words[i]
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
		*d = max(*d, 0)
	}
	def(&o.AsyncDelay, 3*time.Second)
	def(&o.EffectDelay, time.Second)
	def(&o.HealthDelay, 2*time.Second)
	def(&o.VMActionDelay, 20*time.Second)
	def(&o.MetricsDelay, time.Minute)
	def(&o.RetryAfter, 0)
	if o.PageSize <= 0 {
		o.PageSize = 100
	}
	o.Reads = o.Reads.withDefaults(Bucket{Size: 250, PerSecond: 25})
	o.Writes = o.Writes.withDefaults(Bucket{Size: 200, PerSecond: 10})
	return o
}

// Manager is a Resource Manager with its resources. Its methods may be called
// at any time from any goroutine, callbacks included; only Close may not be
// called from a callback.
type Manager struct {
	cfg  Config
	path DataPath

	scheduled sync.WaitGroup // timers that have not run, and the delivery of callbacks

	mu         sync.Mutex // guards what follows, and the resources and operations
	closed     bool
	opts       Options
	random     *rand.Rand
	resources  map[string]*resource // by lower-case id
	order      []*resource          // oldest first
	publicN    int                  // public addresses that were given out so far
	operations map[string]*operation
	finished   []*operation // those that may be forgotten, oldest first
	timers     map[*time.Timer]bool
	timerN     int
	buckets    map[string]*bucketLevel
	faults     []*Fault
	requests   map[string]Requests // by the key of the principal
	outbox     []func()            // calls to the outside, in order
	delivering bool
}

// New returns a manager without resources. It starts nothing. It fails when
// the configuration names no subscription or there is no data path.
func New(cfg Config, path DataPath) (*Manager, error) {
	if len(cfg.Subscriptions) == 0 {
		return nil, errors.New("make resource manager: no subscription is named")
	}
	if path == nil {
		return nil, errors.New("make resource manager: there is no data path")
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(Event) {}
	}
	if cfg.OnPower == nil {
		cfg.OnPower = func(string, PowerAction) {}
	}
	return &Manager{
		cfg:        cfg,
		path:       path,
		opts:       cfg.Options.withDefaults(),
		random:     rand.New(rand.NewPCG(cfg.Seed, 0x61726d)),
		resources:  map[string]*resource{},
		operations: map[string]*operation{},
		timers:     map[*time.Timer]bool{},
		buckets:    map[string]*bucketLevel{},
		requests:   map[string]Requests{},
	}, nil
}

// SetOptions changes the behaviour from the next request on.
func (m *Manager) SetOptions(o Options) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opts = o.withDefaults()
}

// Close ends all that is scheduled and waits for callbacks that run. Later
// requests are answered with 503.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.outbox = nil
	for t := range m.timers {
		if t.Stop() {
			m.scheduled.Done()
		}
	}
	clear(m.timers)
	m.mu.Unlock()
	m.scheduled.Wait()
}

// after runs f with m.mu held, after a delay, unless the manager is closed by
// then. Timers of one instant stay apart by nanoseconds. m.mu is held.
func (m *Manager) after(d time.Duration, f func()) {
	if m.closed {
		return
	}
	m.timerN++
	m.scheduled.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d+m.opts.Phase+time.Duration(m.timerN%1000), func() {
		defer m.scheduled.Done()
		m.mu.Lock()
		delete(m.timers, t)
		if m.closed {
			m.mu.Unlock()
			return
		}
		f()
		m.unlockAndDeliver()
	})
	m.timers[t] = true
}

// later queues a call to the outside, to be made without m.mu. m.mu is held.
func (m *Manager) later(call func()) {
	if !m.closed {
		m.outbox = append(m.outbox, call)
	}
}

func (m *Manager) logf(format string, args ...any) {
	event := fmt.Sprintf(format, args...)
	m.later(func() { m.cfg.Log(event) })
}

// unlockAndDeliver gives m.mu back and makes the queued calls, in their
// order, whoever queued them: one goroutine at a time delivers for all.
func (m *Manager) unlockAndDeliver() {
	if m.delivering || len(m.outbox) == 0 {
		m.mu.Unlock()
		return
	}
	m.delivering = true
	m.scheduled.Add(1)
	defer m.scheduled.Done()
	for len(m.outbox) > 0 {
		call := m.outbox[0]
		m.outbox = m.outbox[1:]
		m.mu.Unlock()
		call()
		m.mu.Lock()
	}
	m.delivering = false
	m.mu.Unlock()
}

// guid returns a new id from the seed. m.mu is held.
func (m *Manager) guid() string {
	a, b := m.random.Uint64(), m.random.Uint64()
	a = a&^0xf000 | 0x4000         // version 4
	b = b&^(3<<62) | uint64(1)<<63 // variant of RFC 9562
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

// ServeHTTP answers one request.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := m.newCall(r)
	unknown := m.authenticate(c)
	m.meet(c)
	if c.fault.before() {
		m.misbehave(w, r, c)
		return
	}
	a, err := answer{}, unknown
	if err == nil {
		a, err = m.answer(c)
	}
	if c.fault.Kind == CutAfter {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), c.header)
	if f, ok := errors.AsType[*failure](err); ok {
		a = f.answer()
	}
	a.write(w)
}

// answer does what a request of a known principal asks for.
func (m *Manager) answer(c *call) (answer, error) {
	if err := m.admit(c); err != nil {
		return answer{}, err
	}
	if err := c.readBody(); err != nil {
		return answer{}, err
	}
	m.mu.Lock()
	defer m.unlockAndDeliver()
	if m.closed {
		return answer{}, &failure{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: "The service is closed."}
	}
	if c.fault.Kind == Overtaken {
		m.overtake(c)
	}
	a, err := m.route(c)
	var f *failure
	if errors.As(err, &f) && f.status >= 400 && c.method != http.MethodGet {
		m.logf("%s: %s of %s refused with %d %s", c.principal, strings.ToLower(c.method), c.target.label(), f.status, f.code)
	}
	return a, err
}
