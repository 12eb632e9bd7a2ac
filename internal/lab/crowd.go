package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"tandem/internal/lab/network"
)

const (
	// crowdPhase is the microseconds of the clients that hold connections, which no
	// other actor has (phase). They are apart from each other by nanoseconds.
	crowdPhase = 7 * time.Microsecond
	// crowdEvery is the time between two requests on one connection where a story
	// says nothing.
	crowdEvery = 20 * time.Second
	// serviceIdle is when a published service ends a connection on which nothing
	// is said (internal/lab/loadmaster).
	serviceIdle = time.Minute
	// crowdAgain is the time from the end of a connection to the next one of the
	// same client.
	crowdAgain = time.Second
	// crowdServed is how long no new connection must have failed for them to count
	// as served again: longer than a client that fails takes to fail again.
	crowdServed = 5 * time.Second
)

// Clients hold connections to the published service: each has one, says something
// on it now and then, ends it after a while and opens the next one. So they show
// what the client of the outage cannot, whose connections last no time: whether
// those that stand are cut, and with so many whether each new one gets through.
type Clients struct {
	// Count is how many there are.
	Count int `yaml:"count"`
	// Hold is how long a connection lasts on average. Each lasts between half and
	// one and a half times as long.
	Hold time.Duration `yaml:"hold"`
	// Every is the time between two requests on a connection, 20 s where nothing
	// is said, and less than a minute, after which services end what is idle.
	Every time.Duration `yaml:"every"`
	// From is when they begin to come, one after the other within Every; when the
	// load balancer knows its units, where nothing is said.
	From time.Duration `yaml:"from"`
}

// Connections is what came of the connections of a story's clients.
type Connections struct {
	New    int `json:"new"`    // that were tried
	Failed int `json:"failed"` // of those, not served within the patience of a client
	Cut    int `json:"cut"`    // that stood and ended although the client wanted to go on
	Ended  int `json:"ended"`  // by their clients
}

// checkClients refuses clients that cannot be. Whole seconds keep the clients
// apart from all other actors.
func (s Scenario) checkClients() error {
	c := s.Clients
	if c == (Clients{}) {
		if s.Expect.NewConnectionsFailed != nil || s.Expect.ConnectionsCut != nil {
			return errors.New("expect: newConnectionsFailed, connectionsCut: there are no clients")
		}
		return nil
	}
	switch {
	case c.Count <= 0 || c.Hold < 2*time.Second:
		return fmt.Errorf("clients: count %d, hold %v: expected one or more that hold for 2s or longer", c.Count, c.Hold)
	case c.Every < 0 || c.Every >= serviceIdle || c.From < 0:
		return fmt.Errorf("clients: every %v, from %v: expected times that are not negative, and every less than %v", c.Every, c.From, serviceIdle)
	case !whole(c.Hold) || !whole(c.Every) || !whole(c.From):
		return fmt.Errorf("clients: hold %v, every %v, from %v: expected whole seconds", c.Hold, c.Every, c.From)
	}
	return nil
}

func whole(d time.Duration) bool { return d%time.Second == 0 }

// judgeConnections compares what came of the clients' connections with what the
// story expects, where the program is in it.
func (w *World) judgeConnections() {
	if w.Options.Believed == nil {
		return
	}
	limit := func(what string, got int, most *int) {
		if most != nil && got > *most {
			w.fail(fmt.Sprintf("%d %s, expected at most %d", got, what, *most))
		}
	}
	got, e := w.Connections(), w.Scenario.Expect
	limit("new connections failed", got.Failed, e.NewConnectionsFailed)
	limit("connections were cut", got.Cut, e.ConnectionsCut)
}

// crowd are the clients at work. They share one host.
type crowd struct {
	host    *network.Host
	target  func() (netip.AddrPort, bool) // the service, if it has an address
	clients Clients
	seed    uint64
	log     func(string)

	mu    sync.Mutex // guards what follows
	total Connections
	stand int         // connections of the moment
	told  Connections // what was said of total
	full  bool        // it was said that all have come
	spell spell
}

// spell is a time in which new connections fail.
type spell struct {
	failed int // in it; 0 where there is none
	last   time.Time
}

func newCrowd(host *network.Host, target func() (netip.AddrPort, bool), clients Clients, seed uint64, log func(string)) *crowd {
	if clients.Every == 0 {
		clients.Every = crowdEvery
	}
	if clients.From == 0 {
		clients.From = clientFrom
	}
	return &crowd{host: host, target: target, clients: clients, seed: seed, log: log}
}

// run lets the clients come and go until ctx ends.
func (c *crowd) run(ctx context.Context) {
	begin := time.Now()
	var wait sync.WaitGroup
	for i := range c.clients.Count {
		wait.Go(func() { c.client(ctx, begin, i) })
	}
	wait.Go(func() {
		for at := begin.Add(c.clients.From + crowdPhase); waitUntil(ctx, at); at = at.Add(time.Second) {
			c.tell()
		}
	})
	wait.Wait()
	c.tell()
	t := c.measured()
	c.log(fmt.Sprintf("opened %d connections in all: %d failed, %d were cut", t.New, t.Failed, t.Cut))
}

// client is one of them. Everything that it does by itself it does at whole
// seconds after its first connection, so no two act in one instant.
func (c *crowd) client(ctx context.Context, begin time.Time, i int) {
	r := rand.New(rand.NewPCG(c.seed, uint64(i)))
	spread := c.clients.Every * time.Duration(i) / time.Duration(c.clients.Count)
	first := begin.Add(c.clients.From + spread.Truncate(time.Millisecond) + crowdPhase + time.Duration(i+1))
	for at := first; waitUntil(ctx, at); {
		lasts := c.clients.Hold/2 + time.Duration(r.Int64N(int64(c.clients.Hold)))
		c.hold(ctx, lasts.Truncate(time.Second))
		for !at.After(time.Now()) {
			at = at.Add(crowdAgain)
		}
	}
}

// waitUntil tells whether ctx still goes on then.
func waitUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hold opens one connection and ends it after a time, unless somebody else does.
func (c *crowd) hold(ctx context.Context, lasts time.Duration) {
	ends := time.Now().Add(lasts)
	conn := c.open(ctx)
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }() // in memory
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for time.Now().Before(ends) {
		next := time.Now().Add(c.clients.Every)
		if next.After(ends) {
			next = ends
		}
		if !conn.quiet(next) || next.Before(ends) && !conn.asks() {
			c.over(ctx, func(t *Connections) { t.Cut++ })
			return
		}
	}
	c.over(ctx, func(t *Connections) { t.Ended++ })
}

// open makes a connection that is served, or nil.
func (c *crowd) open(ctx context.Context) *held {
	conn := c.dial(ctx)
	served := conn != nil && conn.asks()
	if conn != nil && !served {
		_ = conn.Close() // in memory
		conn = nil
	}
	if ctx.Err() != nil && !served {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.New++
	if !served {
		c.total.Failed++
		return nil
	}
	c.stand++
	return conn
}

func (c *crowd) dial(ctx context.Context) *held {
	ctx, cancel := context.WithTimeout(ctx, clientPatience)
	defer cancel()
	target, known := c.target()
	if !known {
		return nil
	}
	conn, err := c.host.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return nil
	}
	return &held{Conn: conn, answers: bufio.NewReaderSize(conn, 512), host: target.String()}
}

// over counts a connection that stood and is no more; the end of the story ends
// none.
func (c *crowd) over(ctx context.Context, count func(*Connections)) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stand--
	count(&c.total)
}

func (c *crowd) measured() Connections {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// tell says what happened since it was last asked. It is asked every second, so
// that a thousand connections which end in one instant are one line.
func (c *crowd) tell() {
	c.mu.Lock()
	now, before, full := c.total, c.told, c.stand == c.clients.Count && !c.full
	c.told, c.full = now, c.full || full
	spells := c.spell.note(now.Failed-before.Failed, time.Now())
	c.mu.Unlock()
	if full {
		c.log(fmt.Sprintf("%d of them hold a connection each", c.clients.Count))
	}
	switch n := now.Cut - before.Cut; n {
	case 0:
	case 1:
		c.log("1 connection was cut")
	default:
		c.log(fmt.Sprintf("%d connections were cut", n))
	}
	if spells != "" {
		c.log(spells)
	}
}

// note takes how many new connections failed of late, and says where a time in
// which they do begins or ends.
func (s *spell) note(failed int, now time.Time) string {
	began := s.failed == 0
	if failed > 0 {
		s.failed += failed
		s.last = now
	}
	switch n := s.failed; {
	case n == 0:
	case began:
		return "new connections are not served"
	case now.Sub(s.last) >= crowdServed:
		*s = spell{}
		return fmt.Sprintf("new connections are served again; %d were not", n)
	}
	return ""
}

// held is a connection that stays.
type held struct {
	net.Conn
	answers *bufio.Reader
	host    string
}

// asks sends a request on the connection and tells whether it was served and the
// connection may stay. It does so by hand, as the client of the outage does.
func (h *held) asks() bool {
	if h.SetDeadline(time.Now().Add(clientPatience)) != nil {
		return false
	}
	if _, err := io.WriteString(h, "GET / HTTP/1.1\r\nHost: "+h.host+"\r\n\r\n"); err != nil {
		return false
	}
	resp, err := http.ReadResponse(h.answers, nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // read to its end
	return err == nil && resp.StatusCode == http.StatusOK && !resp.Close && resp.Header.Get("X-Served-By") != ""
}

// quiet tells whether the connection stays, and nothing comes on it, until a time.
func (h *held) quiet(until time.Time) bool {
	if h.SetDeadline(until) != nil {
		return false
	}
	_, err := h.answers.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}
