// Package loadmaster simulates one LoadMaster unit: its power and boot, its
// HA engine, its check port, its published services and the part of its API
// that HA management uses (loadmaster.md section 6).
//
// A unit talks to its partner, and everybody to the unit, over the lab's
// network only, so cuts and dead hosts have their natural effects. Scenarios,
// the load balancer and everything that judges the unit are other packages.
package loadmaster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/internal/lab/network"
)

// Config describes a unit. Name, Role and, for a pair, Partner are required;
// the comments name the defaults of the rest.
type Config struct {
	Name          string     // also the X-Served-By of its services
	Role          Role       // First, Second or Single
	Partner       netip.Addr // of the other unit
	CheckPort     int        // 8444 (loadmaster.md 2.1)
	APIPort       int        // 8443 (loadmaster.md 1.2)
	Preferred     bool       // haprefered=1, prefer first; each unit has its own setting
	AllInterfaces bool       // hcai=1; only read back, since a host has one address
	Firmware      string     // 7.2.59.0.22007.RELEASE
	Serial        string     // 1350841
	APIKey        string     // none: no key is accepted
	User          string     // bal (loadmaster.md 2.7)
	Password      string     // none: no password is accepted
	// ServicePorts are published services: plain HTTP that answers 200 while
	// the unit forwards. Their ports are closed while it does not.
	ServicePorts []int
	// BootDelay is the time from power on to being up: 20 s by default, about
	// five minutes on Azure (loadmaster.md 2.6).
	BootDelay time.Duration
	// CheckInterval, CheckFailures and CheckTimeout are those of the check of
	// the partner: 5 s, 2 and 2 s (loadmaster.md 7 number 5).
	CheckInterval time.Duration
	CheckFailures int
	CheckTimeout  time.Duration
	// Phase is added before the first check, so that no two actors of the lab
	// act in the same instant. It must be less than CheckInterval.
	Phase time.Duration
	// Seed is that of the unit's random stream and of its certificate.
	Seed    uint64
	Options Options
}

// usualCheckPort is the check port of a unit that nobody has told another one
// (loadmaster.md 2.1).
const usualCheckPort = 8444

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	c.CheckPort = orDefault(c.CheckPort, usualCheckPort)
	c.APIPort = orDefault(c.APIPort, 8443)
	c.Firmware = orDefault(c.Firmware, "7.2.59.0.22007.RELEASE")
	c.Serial = orDefault(c.Serial, "1350841")
	c.User = orDefault(c.User, "bal")
	c.BootDelay = orDefault(c.BootDelay, 20*time.Second)
	c.CheckInterval = orDefault(c.CheckInterval, 5*time.Second)
	c.CheckFailures = orDefault(c.CheckFailures, 2)
	c.CheckTimeout = orDefault(c.CheckTimeout, 2*time.Second)
	c.ServicePorts = slices.Clone(c.ServicePorts)
	return c
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// validate reports all mistakes together.
func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Name != "", "it has no name")
	check(c.Role >= First && c.Role <= Single, "role %d is not first, second or single", c.Role)
	check(c.Partner.IsValid() || c.Role == Single, "it has no partner")
	check(c.BootDelay > 0, "boot delay %v is not positive", c.BootDelay)
	check(c.CheckFailures > 0, "check failures %d is not positive", c.CheckFailures)
	check(c.CheckTimeout > 0 && c.CheckTimeout < c.CheckInterval,
		"check timeout %v is not between 0 and the interval %v", c.CheckTimeout, c.CheckInterval)
	check(c.Phase >= 0 && c.Phase < c.CheckInterval, "phase %v is not between 0 and the interval %v", c.Phase, c.CheckInterval)
	seen := map[int]bool{}
	for _, number := range append([]int{c.CheckPort, c.APIPort}, c.ServicePorts...) {
		check(number > 0 && number < 65536, "port %d is not between 1 and 65535", number)
		check(!seen[number], "port %d is used twice", number)
		seen[number] = true
	}
	return errors.Join(errs...)
}

// Unit is a simulated LoadMaster. Its methods may be called from any
// goroutine, except from the log function.
type Unit struct {
	cfg  Config
	host *network.Host
	log  func(event string)

	power    chan struct{} // held by who switches the power or reboots
	geoWake  chan struct{} // tells watchGEO to look now
	syncWake chan struct{} // tells watchSync to look now
	commands map[string]command
	settling chan struct{}  // held by who opens and closes ports, and guards life.ports
	reboots  sync.WaitGroup // reboots that are under way

	mu     sync.Mutex // guards what follows; never held across a wait
	closed bool
	rng    *rand.Rand
	faults Faults
	// flapsSince is when Faults.FlapEvery was last changed.
	flapsSince time.Time

	// On disk: this outlives a crash.
	configured  haSettings
	parameters  map[string]string // by canonical name
	apiEnabled  bool
	apiKey      string
	password    string
	certificate *tls.Certificate
	generation  int // of the certificate
	changedAt   time.Time
	bootedAt    time.Time
	firmware    string // that runs
	installed   string // that runs after the next boot
	serial      string
	licensed    bool
	shelves     map[string]*shelf // settings by class
	sync        syncState
	kept        []byte // the backup of before Replace, which people have
	logins      logins
	geo         geoState // in part

	// In memory: this is lost with the power.
	life        *life
	state       State
	effective   haSettings // configured, as far as it works without a reboot
	polled      bool
	misses      int
	activeSince time.Time
	limiter     limiter
	address     string      // the own one, as of the newest life
	published   []int       // ports of the services, as far as they work without a reboot
	served      map[int]int // requests by service port
	open        map[int]int // connections of the moment, by service port

	// The last numbers that services and their real servers got: units number them
	// differently (loadmaster.md 0.1 fact 9).
	lastService, lastPlace int
	numbersFrom            int  // of objects that are listed with a number
	servicesChanged        bool // since published was made
	waitsForReboot         bool // what was restored does not work yet
	wire                   wire
}

// haSettings are the parameters of cloud HA.
type haSettings struct {
	role          Role
	partner       string // host name or address, as it was given
	checkPort     int
	preferFirst   bool
	allInterfaces string // "", "0" or "1"
}

// life is the time between power on and power off or reboot.
type life struct {
	end     context.CancelFunc
	done    <-chan struct{}
	running sync.WaitGroup // every goroutine of this life

	// Guarded by Unit.settling.
	ports map[int]*port
	kept  []*port // closed to new connections only (Options.StandbyKeepsConnections)

	// Guarded by Unit.mu.
	web       bool // the web server of the API has started
	rebooting bool
	over      bool // it ends: ports stay closed and nothing happens any more
}

// New makes a unit that is off. It takes the host down; log, which may be
// nil, receives a short sentence without a subject for each event.
func New(cfg Config, host *network.Host, log func(event string)) (*Unit, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("make unit %s: %w", cfg.Name, err)
	}
	certificate, err := newCertificate(host, cfg.Name, cfg.Seed, 0)
	if err != nil {
		return nil, fmt.Errorf("make unit %s: %w", cfg.Name, err)
	}
	if log == nil {
		log = func(string) {}
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x6c6f61646d6173))
	u := &Unit{
		cfg: cfg, host: host, log: log,
		power: make(chan struct{}, 1), settling: make(chan struct{}, 1), geoWake: make(chan struct{}, 1),
		syncWake: make(chan struct{}, 1), commands: commands, shelves: map[string]*shelf{}, sync: newSyncState(time.Now()),
		rng: rng, configured: cfg.haSettings(), parameters: initialParameters(cfg),
		apiEnabled: true, apiKey: cfg.APIKey, password: cfg.Password, certificate: certificate,
		changedAt: time.Now(), firmware: cfg.Firmware, installed: cfg.Firmware, serial: cfg.Serial, licensed: true,
		open: map[int]int{}, lastService: rng.IntN(8), lastPlace: int(cfg.Seed * 3 % 8), numbersFrom: 1 + int(cfg.Seed*5%8),
	}
	u.setUp(cfg.ServicePorts)
	host.SetUp(false)
	return u, nil
}

func (c Config) haSettings() haSettings {
	if c.Role == Single {
		return haSettings{role: Single, checkPort: c.CheckPort}
	}
	s := haSettings{role: c.Role, partner: c.Partner.Unmap().String(), checkPort: c.CheckPort, preferFirst: c.Preferred}
	if c.AllInterfaces {
		s.allInterfaces = "1"
	}
	return s
}

// say reports an event; u.mu is not held.
func (u *Unit) say(event string) {
	if event != "" {
		u.log(event)
	}
}

// Name is the name of the unit.
func (u *Unit) Name() string { return u.cfg.Name }

// State is what the unit is now. A single unit that is up is Active.
func (u *Unit) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state
}

// ServesTraffic tells whether the published services answer.
func (u *Unit) ServesTraffic() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.forwards() && !u.faults.RealServersDown
}

// InstallFirmware makes the unit run another version after its next boot, as
// installpatch and restorepatch do (loadmaster.md 5). The text is what the unit
// will call its version.
func (u *Unit) InstallFirmware(version string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.installed = version
}

// runningFirmware is the version that the unit runs.
func (u *Unit) runningFirmware() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.firmware
}

// SetPassword changes the password of the unit's user.
func (u *Unit) SetPassword(password string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.password = password
}

// SetAPIKey replaces the API key; none means that no key is accepted.
func (u *Unit) SetAPIKey(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.apiKey = key
}

// SetAPIEnabled turns the API interface on or off, as the WUI does. Off, all
// but the call that turns it on is answered 404 (loadmaster.md 1.3).
func (u *Unit) SetAPIEnabled(enabled bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.apiEnabled = enabled
}

// PowerOn starts the boot of a unit that is off.
func (u *Unit) PowerOn() {
	u.power <- struct{}{}
	defer func() { <-u.power }()
	if u.isOff() {
		u.boot()
	}
}

// Start switches a unit that is off on as if it had been up for a while:
// without a boot, and in a given state. Any state but Passive, Active and
// Standby means Passive; a single unit is Active.
func (u *Unit) Start(state State) {
	u.power <- struct{}{}
	defer func() { <-u.power }()
	if !u.isOff() {
		return
	}
	ctx, l := u.begin()
	u.host.SetUp(true)
	u.arrive(l, state)
	l.running.Go(func() { u.watchPartner(ctx) })
	l.running.Go(func() { u.watchGEO(ctx) })
	l.running.Go(func() { u.watchSync(ctx) })
}

// PowerOff is a crash, or a deallocation: the unit vanishes from the network
// without a word and loses all that is not on its disk.
func (u *Unit) PowerOff() {
	u.power <- struct{}{}
	defer func() { <-u.power }()
	if u.isOff() {
		return
	}
	u.host.SetUp(false)
	u.finish("loses power")
}

// Close switches the unit off for good and waits for all it has started.
func (u *Unit) Close() {
	u.power <- struct{}{}
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.host.SetUp(false)
	u.finish("")
	<-u.power
	u.reboots.Wait()
}

// isOff tells whether a life can begin.
func (u *Unit) isOff() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.life == nil && !u.closed
}

// begin begins a life, with a fresh memory. u.power is held.
func (u *Unit) begin() (context.Context, *life) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{end: cancel, done: ctx.Done(), ports: map[int]*port{}}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life, u.state, u.effective = l, Booting, u.configured
	u.firmware = u.installed
	u.polled, u.misses, u.activeSince = false, 0, time.Time{}
	u.limiter, u.served = limiter{}, map[int]int{}
	u.follow()
	u.published, u.waitsForReboot = u.ports(), false
	u.recallPartners()
	// Every boot has its own boottime, which counts in seconds.
	previous := u.bootedAt
	u.bootedAt = time.Now()
	if !u.bootedAt.After(previous.Add(time.Second)) {
		u.bootedAt = previous.Add(time.Second)
	}
	return ctx, l
}

// boot begins a life with a boot: silence at first, then a web server that
// does not know its API yet, then everything. u.power is held.
func (u *Unit) boot() {
	ctx, l := u.begin()
	u.say(fmt.Sprintf("boots, reachable in %s", u.cfg.BootDelay))
	l.running.Go(func() {
		for u.isStuckInBoot() {
			if !sleep(ctx, u.cfg.BootDelay) {
				return
			}
			u.say("does not come up, and boots again")
		}
		web := u.cfg.BootDelay / 5
		if u.cfg.Options.BootAnswer == BootSilence {
			web = 0
		}
		if !sleep(ctx, u.cfg.BootDelay-web) {
			return
		}
		u.host.SetUp(true)
		u.mu.Lock()
		l.web = true
		u.mu.Unlock()
		u.settlePorts()
		if !sleep(ctx, web) {
			return
		}
		u.arrive(l, Passive)
		l.running.Go(func() { u.watchGEO(ctx) })
		l.running.Go(func() { u.watchSync(ctx) })
		u.watchPartner(ctx)
	})
}

// arrive ends the boot.
func (u *Unit) arrive(l *life, state State) {
	u.mu.Lock()
	if l.over {
		u.mu.Unlock()
		return
	}
	l.web = true
	if state != Active && state != Standby {
		state = Passive
	}
	u.polled = state != Passive
	if u.effective.role == Single {
		state = Active
	}
	u.state = state
	if state == Active {
		u.activeSince = u.bootedAt
	}
	u.mu.Unlock()
	u.say("is up, " + state.String())
	u.settlePorts()
}

// isStuckInBoot tells whether a boot that begins now will not end.
func (u *Unit) isStuckInBoot() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.faults.StuckBoot
}

// sleep waits, and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// finish ends the life, if there is one, for a reason that is reported, and
// waits for its goroutines. Where the host is still up, peers see the end of
// their connections. u.power is held.
func (u *Unit) finish(event string) {
	u.mu.Lock()
	l := u.life
	if l != nil {
		l.over = true
	}
	u.mu.Unlock()
	if l == nil {
		return
	}
	u.say(event)
	l.end()
	u.settlePorts()
	l.running.Wait()
	u.host.SetUp(false) // a boot may have taken it up in between
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life, u.state, u.activeSince = nil, Off, time.Time{}
}

// requestReboot makes the unit go away within seconds and boot again
// (loadmaster.md 2.6). u.mu is held.
func (u *Unit) requestReboot() {
	l := u.life
	if l == nil || l.over || l.rebooting {
		return
	}
	l.rebooting = true
	delay := 2*time.Second + time.Duration(u.rng.Int64N(int64(3*time.Second)))
	u.reboots.Go(func() { u.reboot(l, delay) })
}

// reboot waits, takes the power and begins the next life, unless this one has
// ended otherwise.
func (u *Unit) reboot(l *life, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.done:
		return
	}
	select {
	case u.power <- struct{}{}:
		defer func() { <-u.power }()
	case <-l.done:
		return
	}
	u.mu.Lock()
	current := u.life == l
	u.mu.Unlock()
	if !current {
		return
	}
	u.finish("reboots")
	u.boot()
}
