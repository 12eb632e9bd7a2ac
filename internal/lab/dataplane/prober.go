package dataplane

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// verdict is what the probing of a backend has come to.
type verdict int

const (
	unprobed verdict = iota
	up
	down
)

// String returns the word for the log.
func (v verdict) String() string {
	switch v {
	case up:
		return "up"
	case down:
		return "down"
	default:
		return "not probed"
	}
}

type probeKey struct {
	probe   string
	address netip.Addr
}

func (k probeKey) compare(l probeKey) int {
	return cmp.Or(cmp.Compare(k.probe, l.probe), k.address.Compare(l.address))
}

// prober asks one backend one question, over and over. What the answers say
// is guarded by DataPath.mu.
type prober struct {
	key    probeKey
	cfg    Probe
	cancel context.CancelFunc

	name    string // of the backend
	era     int    // rises when what was found is forgotten; answers of an older era are too
	verdict verdict
	streak  int    // answers in a row against the verdict
	same    int    // of which the last so many had the same words
	last    answer // the latest answer
	falls   []time.Time
}

// answer is the outcome of one probe.
type answer struct {
	ok     bool
	words  string // for the log: "503", "connection refused"
	reason Reason // for the health, where not ok
}

// forget makes the backend one that was never probed. It still remembers
// its falls: a restart does not cure flapping.
func (p *prober) forget() {
	p.era++
	p.verdict, p.streak, p.same, p.last = unprobed, 0, 0, answer{}
}

// needed is how many answers in a row the next change of verdict takes: one
// after a start, and more than the threshold for a backend that flaps.
func (p *prober) needed(f Flapping, now time.Time) int {
	if p.verdict == unprobed {
		return 1
	}
	if p.verdict == up {
		return p.cfg.Threshold
	}
	recent := 0
	for _, t := range p.falls {
		if now.Sub(t) < f.Window {
			recent++
		}
	}
	n := p.cfg.Threshold
	for range recent - f.Free {
		if n *= 2; n >= f.MaxSuccesses {
			return max(f.MaxSuccesses, p.cfg.Threshold)
		}
	}
	return n
}

// note takes an answer and tells whether it changed the verdict, and with how
// many answers in a row.
func (p *prober) note(a answer, f Flapping, now time.Time) (changed bool, count, same int) {
	if a.words == p.last.words && p.streak > 0 {
		p.same++
	} else {
		p.same = 1
	}
	p.last = a
	if a.ok == (p.verdict == up) && p.verdict != unprobed {
		p.streak = 0
		return false, 0, 0
	}
	p.streak++
	if p.streak < p.needed(f, now) {
		return false, 0, 0
	}
	count, same = p.streak, p.same
	p.streak, p.same = 0, 0
	if a.ok {
		p.verdict = up
		return true, count, same
	}
	if p.verdict == up {
		p.fell(f, now)
	}
	p.verdict = down
	return true, count, same
}

func (p *prober) fell(f Flapping, now time.Time) {
	kept := p.falls[:0]
	for _, t := range p.falls {
		if now.Sub(t) < f.Window {
			kept = append(kept, t)
		}
	}
	p.falls = append(kept, now)
}

// run probes once per interval until ctx ends.
func (d *DataPath) run(ctx context.Context, id string, p *prober, first time.Duration) {
	next := time.Now().Add(first)
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if era, due := d.due(p); due {
			a := d.ask(ctx, p)
			if ctx.Err() != nil {
				return
			}
			d.conclude(id, p, era, a)
		}
		// A pace that was missed (a slow machine in real time) is not made up for.
		next = next.Add(p.cfg.Interval)
		if now := time.Now(); next.Before(now) {
			next = now
		}
		timer.Reset(time.Until(next))
	}
}

// due tells whether the machine is on, and the era an answer will belong to.
func (d *DataPath) due(p *prober) (era int, due bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.era, !d.stopped[p.key.address]
}

// conclude draws the conclusions from an answer.
func (d *DataPath) conclude(id string, p *prober, era int, a answer) {
	d.mu.Lock()
	b := d.balancers[id]
	if b == nil || b.probers[p.key] != p || p.era != era {
		d.mu.Unlock()
		return
	}
	first, now := p.verdict == unprobed, time.Now()
	changed, count, same := p.note(a, d.opts.Flapping, now)
	b.measure(p, a.ok, now)
	var events []string
	if changed {
		why := times(a.words, count)
		if same < count {
			why = fmt.Sprintf("%d failures, the last: %s", count, a.words)
		}
		if a.ok && !first && count > p.cfg.Threshold {
			why += ", so many because it flaps"
		}
		events = append(events, d.sentence(b, p, fmt.Sprintf("probed %s (%s)", p.verdict, why)))
		if p.verdict == down {
			d.endLonely(b, p)
		}
	}
	d.mu.Unlock()
	d.tell(events)
}

// endLonely ends the connections to a backend that is down and alone in its
// pool: established TCP survives only where the pool has more than one
// instance (azure.md 1.4). d.mu is held.
func (d *DataPath) endLonely(b *balancer, p *prober) {
	for _, r := range b.Rules {
		if pool := b.pool(r.Pool); r.Probe == p.key.probe && len(pool.Backends) == 1 &&
			pool.Backends[0].AdminState.String() == string(AdminNone) {
			d.endFlows(func(f *flow) bool {
				return f.balancer == b.ID && f.pool == r.Pool && f.backend == p.key.address
			})
		}
	}
}

func times(words string, n int) string {
	switch n {
	case 1:
		return words + " once"
	case 2:
		return words + " twice"
	}
	return fmt.Sprintf("%s %d times", words, n)
}

// ask probes once. Every probe is a connection of its own.
func (d *DataPath) ask(ctx context.Context, p *prober) answer {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timeout())
	defer cancel()
	target := netip.AddrPortFrom(p.key.address, uint16(p.cfg.Port)).String()
	conn, err := d.source.DialContext(ctx, "tcp", target)
	if err != nil {
		return unreachable(p.cfg.Protocol, err)
	}
	defer func() { _ = conn.Close() }()
	if p.cfg.Protocol == TCP {
		return answer{ok: true, words: "connected"}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if p.cfg.Protocol == HTTPS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the platform checks no names either
	}
	return askHTTP(conn, target, p.cfg.Path)
}

func unreachable(proto Protocol, err error) answer {
	a := answer{words: "no connection", reason: DownHTTPEndpointUnreachable}
	var op *net.OpError
	if errors.As(err, &op) && !errors.Is(err, context.DeadlineExceeded) {
		a.words = "connection refused"
	}
	if proto == TCP {
		a.reason = DownTCPProbeTimeout
	}
	return a
}

// maxAnswer bounds what is read of an answer to an HTTP probe, in bytes.
const maxAnswer = 64 << 10

// askHTTP sends the request and judges the status: healthy is exactly 200.
func askHTTP(conn net.Conn, host, path string) answer {
	silent := answer{words: "no answer", reason: DownHTTPNoResponse}
	req := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Load Balancer Agent\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, req); err != nil {
		return silent
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), nil)
	if err != nil {
		return silent
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answer{words: strconv.Itoa(resp.StatusCode), reason: DownHTTPStatusCodeError}
	}
	return answer{ok: true, words: "200"}
}
