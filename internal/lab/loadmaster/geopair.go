package loadmaster

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/netip"
)

// What the settings sync brings of GEO from one unit of a pair to the other
// (loadmaster.md 2.5): the lists of members and the DNS configuration, in both
// directions, and who changed something last has it. A cluster or a map with the
// sender's own address has the receiver's there.
const (
	syncPortNumber = 6973
	geoPairPath    = "/geo"
)

// geoShared is what the units of a pair have in common.
type geoShared struct {
	Lists      geoVersion
	Parameters map[string]string
	Config     geoConfig
}

// sharedGEO is what the unit has of it. u.mu is held.
func (u *Unit) sharedGEO() geoShared {
	s := geoShared{Lists: u.geo.listed, Parameters: map[string]string{}, Config: u.geo.config()}
	for _, p := range parameters {
		if p.isGEO() {
			s.Parameters[p.name] = u.parameters[p.name]
		}
	}
	return s
}

// takeSharedGEO takes over what the partner has changed later. u.mu is held.
func (u *Unit) takeSharedGEO(from netip.Addr, s geoShared) {
	if s.Lists.compare(u.geo.listed) > 0 {
		maps.Copy(u.parameters, s.Parameters)
		u.geo.listed = s.Lists
	}
	if s.Config.Version.compare(u.geo.changed) > 0 {
		s.Config.move(from, u.host.Addr())
		u.takeOverConfig(s.Config)
	}
}

// move puts the receiver's address where the sender's is.
func (c geoConfig) move(from, to netip.Addr) {
	for i := range c.Clusters {
		if c.Clusters[i].Address == from {
			c.Clusters[i].Address = to
		}
	}
	for _, f := range c.FQDNs {
		for i := range f.Maps {
			if f.Maps[i].Address == from {
				f.Maps[i].Address = to
			}
		}
	}
}

// pairHandler is the port of the settings sync, as far as GEO needs it. Only the
// partner is listened to.
func (u *Unit) pairHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+geoPairPath, func(w http.ResponseWriter, r *http.Request) {
		var s geoShared
		if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&s); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		from := remote(r)
		u.mu.Lock()
		known := from.String() == u.effective.partner
		if known {
			u.takeSharedGEO(from, s)
		}
		u.mu.Unlock()
		if !known {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		u.settlePorts() // who knows others listens to them
		w.WriteHeader(http.StatusOK)
	})
	u.addSyncRoutes(mux)
	return mux
}

// ownCluster lets the cluster of the pair follow its active unit: there it has the
// unit's own address, whichever unit's it had. That it does so by itself is all
// that is known of it (loadmaster.md 2.5). u.mu is held.
func (u *Unit) ownCluster() {
	if u.state != Active || u.cfg.Options.PairCluster == PairClusterStays {
		return
	}
	if partner, err := netip.ParseAddr(u.effective.partner); err == nil {
		u.geo.config().move(partner, u.host.Addr())
	}
}

// pairCluster lets a call name the cluster of the pair by the address of either unit.
// u.mu is held.
func (u *Unit) pairCluster(args arguments) arguments {
	if u.state != Active || u.cfg.Options.PairCluster == PairClusterStays || args["ip"] == "" || args["ip"] != u.effective.partner {
		return args
	}
	args = maps.Clone(args)
	args["ip"] = u.host.Addr().String()
	return args
}

// tellPair brings the other unit of the pair what is GEO's.
func (u *Unit) tellPair(ctx context.Context) {
	u.mu.Lock()
	partner, err := netip.ParseAddr(u.effective.partner)
	tells := err == nil && u.clustered() && u.geo.enabled
	shared, err := json.Marshal(u.sharedGEO())
	u.mu.Unlock()
	if err != nil {
		panic(err) // its types always encode
	}
	if tells {
		u.ask(ctx, http.MethodPut, partner, syncPortNumber, geoPairPath, shared)
	}
}
