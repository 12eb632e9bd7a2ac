package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tandem/internal/lab/network"
)

const (
	// clientEvery is the time between two requests of the client, and so the
	// grain of the measured outage.
	clientEvery = 500 * time.Millisecond
	// clientFrom is when the client begins: the load balancer's first probes
	// are over by then, as in a world that did not begin just now.
	clientFrom = 20 * time.Second
	// clientPatience is how long one request waits.
	clientPatience = 2 * time.Second
	// bothWithin: when both units answered within this time of each other, the
	// traffic is split between them.
	bothWithin = 3 * time.Second
)

// Outage is what a client that kept sending requests measured.
type Outage struct {
	Requests, Failed int
	// Total is the time without service: from each request that failed after
	// one that was served, to the next one that was served.
	Total time.Duration
	// Split is the time in which both units served the same address.
	Split time.Duration
	// Resolved is what the resolver measured of GEO, where a story has it.
	Resolved Resolved
}

type answer struct {
	sent   time.Time
	served string // the unit, empty when the request failed
}

// client keeps sending requests, each on a connection of its own, because only
// new connections show where the load balancer sends them.
type client struct {
	host   *network.Host
	target func() (netip.AddrPort, bool) // the service, if it has an address
	phase  time.Duration
	log    func(string)

	mu     sync.Mutex // guards what follows
	outage Outage
	down   time.Time // since when no request was served
	last   string    // the unit that served last
	lastAt time.Time
	seen   map[string]time.Time
}

func newClient(host *network.Host, target func() (netip.AddrPort, bool), phase time.Duration, log func(string)) *client {
	return &client{
		host: host, target: target, phase: phase, log: log, seen: map[string]time.Time{},
	}
}

// run sends requests until ctx ends and judges the answers in the order in
// which the requests were sent.
func (c *client) run(ctx context.Context) {
	answers := make(chan chan answer, 64)
	go func() {
		defer close(answers)
		timer := time.NewTimer(clientFrom + c.phase)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			timer.Reset(clientEvery)
			one := make(chan answer, 1)
			answers <- one
			go func() { one <- c.ask(context.WithoutCancel(ctx)) }()
		}
	}()
	for one := range answers {
		c.judge(<-one)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.down.IsZero() {
		c.outage.Total += time.Since(c.down)
	}
}

func (c *client) measured() Outage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outage
}

// serving is who answered lately: the name of a unit, both, or nobody.
func (c *client) serving() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := []string{}
	for name, at := range c.seen {
		if c.lastAt.Sub(at) <= bothWithin {
			names = append(names, name)
		}
	}
	switch {
	case !c.down.IsZero() || len(names) == 0:
		return "nobody"
	case len(names) == 1:
		return names[0]
	default:
		return "both"
	}
}

// unserved is for how long a unit has answered nothing; one that never did, has
// been silent for all of the story.
func (c *client) unserved(name string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.seen[name])
}

func (c *client) ask(ctx context.Context) answer {
	a := answer{sent: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, clientPatience)
	defer cancel()
	target, known := c.target()
	if !known {
		return a
	}
	conn, err := c.host.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return a
	}
	defer func() { _ = conn.Close() }() // in memory
	if conn.SetDeadline(a.sent.Add(clientPatience)) == nil {
		a.served = exchange(conn, target.String())
	}
	return a
}

// exchange sends one request on a connection and returns who served it. It does
// so by hand: the requests of the client are most of what happens in a story,
// and a third of their cost was that of an http.Transport.
func exchange(conn net.Conn, host string) (served string) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return ""
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return ""
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // read to its end
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return resp.Header.Get("X-Served-By")
}

func (c *client) judge(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outage.Requests++
	if a.served == "" {
		c.outage.Failed++
		if c.down.IsZero() {
			c.down = a.sent
			c.log("gets no answer any more")
		}
		return
	}
	switch {
	case !c.down.IsZero():
		gone := a.sent.Sub(c.down)
		c.outage.Total += gone
		c.down = time.Time{}
		c.log(fmt.Sprintf("served again, by %s, after %s", a.served, gone.Round(clientEvery)))
	case c.last == "":
		c.log("served by " + a.served)
	case c.last != a.served && a.sent.Sub(c.seen[a.served]) > bothWithin:
		c.log(fmt.Sprintf("now served by %s instead of %s", a.served, c.last))
	}
	c.split(a)
	c.last, c.lastAt = a.served, a.sent
	c.seen[a.served] = a.sent
}

// split adds up the time in which both units answered.
func (c *client) split(a answer) {
	for unit, at := range c.seen {
		if unit != a.served && a.sent.Sub(at) <= bothWithin && a.sent.Sub(c.seen[a.served]) <= bothWithin {
			c.outage.Split += a.sent.Sub(c.lastAt)
		}
	}
}
