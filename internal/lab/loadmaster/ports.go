package loadmaster

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// purpose is what an open port is for.
type purpose int

const (
	checkPort purpose = iota + 1
	apiPort
	servicePort
	geoPort
	dnsPort
	syncPort
)

// port is an open port of a running unit.
type port struct {
	purpose  purpose
	server   *http.Server
	listener net.Listener

	mu    sync.Mutex            // guards conns
	conns map[net.Conn]struct{} // the raw connections, below TLS
}

// settlePorts opens and closes ports until they are those that the state of
// the unit asks for. Ports that close end their connections.
func (u *Unit) settlePorts() {
	u.settling <- struct{}{}
	defer func() { <-u.settling }()
	u.mu.Lock()
	l, want, carriesOn := u.life, u.wantedPorts(), u.carriesOn()
	u.mu.Unlock()
	if l == nil {
		return
	}
	for _, number := range slices.Sorted(maps.Keys(l.ports)) {
		p := l.ports[number]
		if p.purpose == want[number] {
			continue
		}
		delete(l.ports, number)
		if carriesOn && p.purpose == servicePort {
			_ = p.listener.Close()
			l.kept = append(l.kept, p)
			continue
		}
		p.close()
	}
	if !carriesOn {
		for _, p := range l.kept {
			p.close()
		}
		l.kept = nil
	}
	for _, number := range slices.Sorted(maps.Keys(want)) {
		if l.ports[number] == nil {
			u.openPort(l, number, want[number])
		}
	}
}

// wantedPorts is the set of ports that should be open now. u.mu is held.
func (u *Unit) wantedPorts() map[int]purpose {
	want := map[int]purpose{}
	if u.life == nil || u.life.over {
		return want
	}
	if u.forwards() && !(u.faults.RealServersDown && u.cfg.Options.DeadRealServers == DeadRealServersReset) {
		for _, number := range u.published {
			want[number] = servicePort
		}
	}
	if u.clustered() {
		want[u.effective.checkPort] = checkPort
		want[syncPortNumber] = syncPort
	}
	if u.life.web && u.faults.API != APIRefuses {
		want[u.cfg.APIPort] = apiPort
	}
	u.wantedGEOPorts(want)
	return want
}

// forwards tells whether the unit does its part in published services, whatever
// becomes of it at the real servers. u.mu is held.
func (u *Unit) forwards() bool {
	return !u.faults.ServicesDead && (u.state == Active || u.state == Standby && u.cfg.Options.StandbyForwards)
}

// carriesOn tells whether connections to services outlive the state in which they
// were taken. u.mu is held.
func (u *Unit) carriesOn() bool {
	keeps := u.state == Active || u.state == Standby && u.cfg.Options.StandbyKeepsConnections
	return keeps && u.life != nil && !u.life.over && !u.faults.ServicesDead && !u.faults.RealServersDown
}

// openPort starts to serve a port. It is tried again at the next change when
// the port is taken.
func (u *Unit) openPort(l *life, number int, why purpose) {
	listener, err := u.host.Listen(number)
	if err != nil {
		u.say(fmt.Sprintf("cannot open port %d: %v", number, err))
		return
	}
	p := &port{purpose: why, listener: listener, conns: map[net.Conn]struct{}{}}
	switch why {
	case checkPort:
		p.server = newServer(u.checkPortHandler(l))
	case apiPort:
		p.server = newServer(u.apiHandler(l))
		listener = tls.NewListener(listener, u.tlsConfig())
	case servicePort:
		p.server = newServer(u.serviceHandler(number))
	case geoPort:
		p.server = newServer(u.geoHandler())
	case syncPort:
		p.server = newServer(u.pairHandler())
	case dnsPort:
		p.server = newServer(nil) // serves nothing, and closes like the others
		l.ports[number] = p
		l.running.Go(func() { u.serveDNS(l, p) })
		return
	}
	p.server.ConnState = func(c net.Conn, state http.ConnState) {
		p.count(l, c, state)
		if why == servicePort {
			u.countOpen(number, state)
		}
	}
	l.ports[number] = p
	l.running.Go(func() { _ = p.server.Serve(listener) })
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // broken clients are part of the stories
	}
}

// count follows the connections, so that the end of a life can wait for their
// goroutines: the server reports a new one before it starts its goroutine.
func (p *port) count(l *life, c net.Conn, state http.ConnState) {
	raw := c
	if secure, ok := c.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		l.running.Add(1)
		p.conns[raw] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(p.conns, raw)
		l.running.Done()
	case http.StateActive, http.StateIdle:
	}
}

// countOpen follows how many connections a service has.
func (u *Unit) countOpen(number int, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch state {
	case http.StateNew:
		u.open[number]++
	case http.StateClosed, http.StateHijacked:
		u.open[number]--
	case http.StateActive, http.StateIdle:
	}
}

// close closes the port and its connections. The raw connections come first:
// TLS would say goodbye to a peer that perhaps cannot hear, and wait for it
// while the server holds a lock.
func (p *port) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	raw := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, c := range raw {
		_ = c.Close()
	}
	_ = p.server.Close()
}

// checkPortHandler answers 200 on an active unit and 503 on every other
// (loadmaster.md 2.3).
func (u *Unit) checkPortHandler(l *life) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			u.noticePoll(r.RemoteAddr)
		}
		u.mu.Lock()
		fault, active, words := u.checkPortFault(time.Now()), u.state == Active, u.healthWords()
		u.mu.Unlock()
		if fault == CheckPortSilent {
			select {
			case <-r.Context().Done():
			case <-l.done:
			}
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/html")
		if fault == CheckPortSays503 || !active && fault != CheckPortSays200 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s is active\n", words)
	})
}

// healthWords is the unit's role in the words of the check port. u.mu is held.
func (u *Unit) healthWords() string {
	newWords, first := u.cfg.Options.HealthWords == NewWords, u.effective.role == First
	switch {
	case newWords && first:
		return "First"
	case newWords:
		return "Second"
	case first:
		return "Master"
	}
	return "Slave"
}

// serviceHandler is a published service: it says who served the request. That
// header comes from a real server, and so does not stand in an answer that the
// unit gives for dead ones.
func (u *Unit) serviceHandler(number int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		dead := u.faults.RealServersDown
		if !dead {
			u.served[number]++
		}
		u.mu.Unlock()
		if dead {
			page(w, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("X-Served-By", u.cfg.Name)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, r.URL.Path)
	})
}
