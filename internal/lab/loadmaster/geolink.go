package loadmaster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// What GEO members say to each other. The product has an SSH tunnel for it
// (loadmaster.md 4.4), whose contents nobody has described. Here it is plain
// HTTP on the same port: one request for the state of the services behind a
// unit, and one that hands on the DNS configuration.
const (
	geoStatusPath = "/status"
	geoConfigPath = "/config"
	geoPatience   = 2 * time.Second
)

// geoConfig is what partners keep in step.
type geoConfig struct {
	Version  geoVersion
	Next     int
	Clusters []geoCluster
	FQDNs    []geoFQDN
	Globals  map[string]string
}

// config is what the unit has of it; the slices are its own.
func (g *geoState) config() geoConfig {
	return geoConfig{g.changed, g.next, g.clusters, g.fqdns, g.globals}
}

// wantedGEOPorts adds the ports of GEO to those that should be open. A unit that
// nobody has told of others has none for them. u.mu is held.
func (u *Unit) wantedGEOPorts(want map[int]purpose) {
	if u.state < Passive {
		return
	}
	if u.parameters["geoclients"] != "" || u.parameters["geopartners"] != "" {
		want[u.geoPortNumber()] = geoPort
	}
	if u.geo.enabled && u.state == Active {
		want[dnsPortNumber] = dnsPort
	}
}

// geoPort is the number of the port for other members. u.mu is held.
func (u *Unit) geoPortNumber() int {
	if n, err := strconv.Atoi(u.parameters["geosshport"]); err == nil {
		return n
	}
	return 22
}

// recallPartners begins a life: the partners are as a unit has them that was up
// for a while. u.mu is held.
func (u *Unit) recallPartners() {
	u.geo.submitted = u.cfg.Options.Partners != PartnersForgottenAtBoot && u.parameters["geopartners"] != ""
	u.geo.partners = nil
	select {
	case <-u.geoWake: // whatever it was, it is for the first look
	default:
	}
}

// forgetPartners is what becoming active does (loadmaster.md 6 number 10). u.mu is
// held.
func (u *Unit) forgetPartners() {
	if u.cfg.Options.Partners != PartnersKept {
		u.geo.submitted, u.geo.partners = false, nil
	}
}

// geoHandler is the port for other members.
func (u *Unit) geoHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+geoStatusPath, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(u.serviceState(remote(r)))
	})
	mux.HandleFunc("PUT "+geoConfigPath, func(w http.ResponseWriter, r *http.Request) {
		var c geoConfig
		if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&c); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(u.takeConfig(remote(r), c))
	})
	return mux
}

func remote(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero address is nobody's
	return from.Addr().Unmap()
}

// serviceState answers whoever is in Remote GEO LoadMaster Access: 200 where the
// unit's services are up.
func (u *Unit) serviceState(from netip.Addr) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !u.mayAsk(from):
		return http.StatusForbidden
	case u.state != Active || u.faults.ServicesDead || u.faults.RealServersDown:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// mayAsk tells whether Remote GEO LoadMaster Access has an address. For a unit that
// asks itself the pair's own entry counts, which is the other unit's on one of the
// two: the guide has the first unit's, and in its worked example the active one's
// (loadmaster.md 4.4). u.mu is held.
func (u *Unit) mayAsk(from netip.Addr) bool {
	listed := addressList(u.parameters["geoclients"])
	if slices.Contains(listed, from) {
		return true
	}
	partner, err := netip.ParseAddr(u.effective.partner)
	return err == nil && from == u.host.Addr() && slices.Contains(listed, partner)
}

// takeConfig takes over a partner's DNS configuration where it is newer. Both
// must have the other for a partner, and have submitted that.
func (u *Unit) takeConfig(from netip.Addr, c geoConfig) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !slices.Contains(addressList(u.parameters["geopartners"]), from):
		return http.StatusForbidden
	case !u.geo.submitted || u.state != Active || !u.geo.enabled:
		return http.StatusServiceUnavailable
	}
	if c.Version.compare(u.geo.changed) > 0 {
		u.takeOverConfig(c)
	}
	u.hear(from, c)
	return http.StatusOK
}

// takeOverConfig makes the DNS configuration of somebody else the unit's own, but for
// what it found out itself. u.mu is held.
func (u *Unit) takeOverConfig(c geoConfig) {
	was := u.geo.clusters
	u.geo.changed, u.geo.next, u.geo.clusters, u.geo.fqdns, u.geo.globals = c.Version, c.Next, c.Clusters, c.FQDNs, c.Globals
	for i := range u.geo.clusters {
		now := &u.geo.clusters[i]
		if j := slices.IndexFunc(was, func(c geoCluster) bool { return c.Address == now.Address }); j >= 0 {
			now.up, now.why = was[j].up, was[j].why
		}
	}
	u.ownCluster()
	u.changedAt = time.Now()
}

// hear moves the cluster of a partner to the address at which the partner has it,
// its own, whoever changed the configuration last. u.mu is held.
func (u *Unit) hear(from netip.Addr, c geoConfig) {
	if u.cfg.Options.PairCluster == PairClusterStays {
		return
	}
	for _, theirs := range c.Clusters {
		i := slices.IndexFunc(u.geo.clusters, func(ours geoCluster) bool { return ours.Name == theirs.Name })
		if theirs.Address == from && i >= 0 && u.geo.clusters[i].Address != from {
			u.geo.clusters[i].Address = from
			u.wakeGEO()
		}
	}
}

// wakeGEO lets the watch look now.
func (u *Unit) wakeGEO() {
	select {
	case u.geoWake <- struct{}{}:
	default: // it will anyway
	}
}

// watchGEO asks clusters and tells partners until ctx ends: after every interval,
// and after a change. Where GEO is off it only waits.
func (u *Unit) watchGEO(ctx context.Context) {
	pause := u.cfg.Phase + geoPhase
	for {
		timer := time.NewTimer(pause)
		u.mu.Lock()
		on, every := u.geo.enabled, time.Duration(u.geo.global("checkinterval", 120))*time.Second
		u.mu.Unlock()
		if !on {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-u.geoWake:
		case <-timer.C:
		}
		timer.Stop()
		pause = every
		u.askClusters(ctx)
		u.tellPartners(ctx)
		u.tellPair(ctx)
	}
}

// geoPhase keeps the watch apart from the check of the HA partner, whose phase is
// a whole number of microseconds too.
const geoPhase = 500 * time.Nanosecond

// geoActs tells whether the unit acts as a GEO member.
func (u *Unit) geoActs() bool { return u.geo.enabled && u.state == Active && !u.life.over }

// askClusters finds out which clusters are up. Those of the type default are not
// asked and count as up.
func (u *Unit) askClusters(ctx context.Context) {
	u.mu.Lock()
	var clusters []geoCluster
	if u.geoActs() {
		clusters = slices.Clone(u.geo.clusters)
	}
	port := u.geoPortNumber()
	u.mu.Unlock()
	for _, c := range clusters {
		why := ""
		if c.Type != "default" {
			why = u.ask(ctx, http.MethodGet, c.Address, port, geoStatusPath, nil)
		}
		if ctx.Err() != nil {
			return
		}
		u.sayAll(u.learn(c, why))
	}
}

// learn keeps what was found out about a cluster.
func (u *Unit) learn(c geoCluster, why string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := slices.IndexFunc(u.geo.clusters, func(now geoCluster) bool { return now.Address == c.Address })
	if i < 0 {
		return nil
	}
	now := &u.geo.clusters[i]
	if now.up == (why == "") && now.why == why {
		return nil
	}
	now.up, now.why = why == "", why
	if now.up {
		return []string{fmt.Sprintf("finds cluster %s (%s) up", c.Name, c.Address)}
	}
	return []string{fmt.Sprintf("finds cluster %s (%s) down: %s", c.Name, c.Address, why)}
}

// tellPartners hands the DNS configuration to the partners.
func (u *Unit) tellPartners(ctx context.Context) {
	u.mu.Lock()
	var partners []netip.Addr
	if u.geoActs() && u.geo.submitted {
		partners = addressList(u.parameters["geopartners"])
	}
	config, err := json.Marshal(u.geo.config())
	port := u.geoPortNumber()
	u.mu.Unlock()
	if err != nil {
		panic(err) // its types always encode
	}
	for _, a := range partners {
		why := u.ask(ctx, http.MethodPut, a, port, geoConfigPath, config)
		if ctx.Err() != nil {
			return
		}
		u.mu.Lock()
		if u.geo.partners == nil {
			u.geo.partners = map[netip.Addr]string{}
		}
		u.geo.partners[a] = upDown(why == "")
		u.mu.Unlock()
	}
}

// ask sends one request to another member, and tells why it did not succeed.
func (u *Unit) ask(ctx context.Context, method string, at netip.Addr, port int, path string, body []byte) string {
	ctx, cancel := context.WithTimeout(ctx, geoPatience)
	defer cancel()
	address := net.JoinHostPort(at.String(), strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return "it is no address"
	}
	status, err := u.exchange(ctx, address, req)
	switch {
	case err != nil:
		return "no answer"
	case status == http.StatusForbidden:
		return "access refused"
	case status != http.StatusOK:
		return "its services are down"
	}
	return ""
}
