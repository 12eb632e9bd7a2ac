package loadmaster

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// refusalRest is how long a Client itself keeps credentials back that a unit
	// refused, since somebody asked last and whatever came before. It only bridges
	// the time until the refusal stands in the pair's record: how long credentials
	// rest is counted there (pair.Refusal), for all processes alike, and there a
	// person ends it. If more were remembered here, that word would not be heard.
	// So credentials of another secret do not wait here, but for the record they do.
	refusalRest = 2 * time.Minute

	// bothRefused is the rest that is asked for where one attempt failed in both
	// APIs, which is two logins. Units lock the account after three by default
	// (parameter sessionmaxfailattempts), which would keep people out too.
	bothRefused = time.Hour

	// longestWait bounds what a unit may ask for by Retry-After.
	longestWait = 24 * time.Hour

	// callsPerSecond and callBurst keep a unit's limit of 30 calls in three
	// seconds, over which it drops connections (loadmaster.md 0.1 item 4): at
	// most 10 + 3*6 = 28 of ours, the rest is for a person at the WUI. The
	// burst lets two reports in a row go without a wait, as an event needs
	// them; the rate is that of the vendor's SDK, which spaces its calls by
	// 150 to 200 ms (1.1).
	callsPerSecond = 6
	callBurst      = 10

	// idleTimeout ends kept connections soon. The calls of one report share
	// one TLS handshake, and no connection lives on to the next pass: so every
	// pass proves anew that the unit takes connections and has the right
	// certificate, and nothing is lost to units that drop idle connections
	// (the vendor's SDK keeps none, loadmaster.md 1.1). The price is one
	// handshake for each unit and pass, about two milliseconds of our time.
	idleTimeout = 2 * time.Second

	// oldAPIFor is how long a unit that only takes the XML API is spoken to
	// in it. Trying the JSON API again costs a failed login.
	oldAPIFor = time.Hour

	maxHeader = 64 << 10
)

// appliance is what the Client remembers of the unit at one address and port,
// shared by all callers.
type appliance struct {
	at     netip.AddrPort
	used   time.Time // guarded by Client.mu
	bucket *rate.Limiter

	mu      sync.Mutex // guards what follows; never held across a wait or a call
	jitter  *rand.Rand
	line    line
	oldAPI  oldAPI
	newAPI  bool // the unit took the JSON API last
	refusal refusal
	facts   facts
}

// line is the way to a unit under one trust.
type line struct {
	trust trust
	reads *http.Transport
}

// oldAPI remembers that only the XML API works with some credentials.
type oldAPI struct {
	key   uint64
	until time.Time
	code  int // with which the JSON API was refused
}

// refusal remembers that some credentials were refused.
type refusal struct {
	key   uint64
	until time.Time
}

// facts are what changes rarely, so that a report need not read it each time.
type facts struct {
	boot      string // boottime as the unit writes it; the next two hold until it changes
	firmware  string
	noStatus  bool // hastatus is not known to this firmware
	changedAt time.Time
	readAt    time.Time // when changedAt was asked for
}

func newAppliance(at netip.AddrPort, seed uint64) *appliance {
	b := at.Addr().As16()
	return &appliance{
		at:     at,
		bucket: rate.NewLimiter(callsPerSecond, callBurst),
		jitter: rand.New(rand.NewPCG(seed^binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])^uint64(at.Port()))),
	}
}

// lineFor returns the transports for a trust. They are made anew when the pair
// file changes what is trusted, and no connection of the old ones is used.
func (a *appliance) lineFor(t trust, opts Options) (line, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.line.reads != nil && a.line.trust == t {
		return a.line, nil
	}
	config, err := t.config(opts.ReadFile)
	if err != nil {
		return line{}, err
	}
	if a.line.reads != nil {
		a.line.reads.CloseIdleConnections()
	}
	a.line = line{trust: t, reads: &http.Transport{
		Proxy:                  quietProxy(opts.Proxy),
		DialContext:            limitDial(opts),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    opts.Timeout,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}}
	return a.line, nil
}

// forWriting returns a transport whose connections serve one call, so that
// "was it sent" has an answer. Writes are
// rare, so it is made when one comes.
func (l line) forWriting() *http.Transport {
	t := l.reads.Clone()
	t.DisableKeepAlives = true
	return t
}

// limitDial bounds every dial by itself: http.Transport lets dials go on after
// the request that wanted them was cancelled.
func limitDial(opts Options) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
		defer cancel()
		return opts.DialContext(ctx, network, address)
	}
}

// quietProxy keeps an unusable proxy setting, which may hold a password, out of
// the error about it.
func quietProxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(r *http.Request) (*url.URL, error) {
		u, err := choose(r)
		if err != nil {
			return nil, errors.New("the proxy setting is not usable")
		}
		return u, nil
	}
}

func (a *appliance) closeIdle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.line.reads != nil {
		a.line.reads.CloseIdleConnections()
	}
}

// speaks returns the API to speak with these credentials.
func (a *appliance) speaks(key uint64, now time.Time) dialect {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.oldAPI.key == key && now.Before(a.oldAPI.until) {
		return v1
	}
	return v2
}

// remembersOldAPI returns the code with which the JSON API was refused.
func (a *appliance) remembersOldAPI(key uint64) (code int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.oldAPI.code, a.oldAPI.key == key && !a.oldAPI.until.IsZero()
}

func (a *appliance) rememberOldAPI(key uint64, code int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.oldAPI = oldAPI{key: key, until: now.Add(oldAPIFor), code: code}
}

func (a *appliance) forgetOldAPI() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.oldAPI = oldAPI{}
}

// refused returns how long these credentials must not be tried again. Who asks
// while they rest does not know of the refusal, so the rest begins anew: as long
// as the record cannot be stored, each look asks, and nothing is tried.
func (a *appliance) refused(key uint64, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal.key != key || !now.Before(a.refusal.until) {
		return 0
	}
	a.refusal.until = now.Add(refusalRest)
	return refusalRest
}

// refuse keeps credentials back that were refused, and returns for how long.
// Refusals of calls that ran side by side count as one.
func (a *appliance) refuse(key uint64, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal.key != key || !now.Before(a.refusal.until) {
		a.refusal = refusal{key: key, until: now.Add(refusalRest)}
	}
	return a.refusal.until.Sub(now)
}

// accept forgets refusals: the unit took credentials, in this API.
func (a *appliance) accept(d dialect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = refusal{}
	a.newAPI = d == v2
}

// takesNewAPI reports whether the unit took the JSON API the last time that it
// took anything, so that another login in the old one would only fail again.
func (a *appliance) takesNewAPI() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.newAPI
}

// pause returns the time before a second attempt.
func (a *appliance) pause() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return retryAfter + time.Duration(a.jitter.Int64N(int64(retryJitter)))
}

// known returns the facts that hold for a boot time, none for another one. An
// unreadable boot time vouches for nothing but the configuration's age.
func (a *appliance) known(boot string) facts {
	a.mu.Lock()
	defer a.mu.Unlock()
	if boot == "" || a.facts.boot != boot {
		a.facts = facts{boot: boot, changedAt: a.facts.changedAt, readAt: a.facts.readAt}
	}
	return a.facts
}

func (a *appliance) learn(f facts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.facts = f
}
