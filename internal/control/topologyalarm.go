package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// judge says how the topology stands after this look: what somebody should know, how
// far its run is, and when to look again.
func (p *topologyPass) judge() {
	rec, now := &p.snap.Record, p.now()
	p.alarms()
	if rec.Run.State.Open() {
		p.judgeRun()
	}
	working := len(p.effects) > 0 || slices.ContainsFunc(p.sites, func(s *site) bool { return p.working(s) != nil })
	switch {
	case rec.Run.State == geo.Runs || working:
		rec.Due = now.Add(runEvery)
	case rec.Run.State == geo.Waits || len(rec.Alarms) > 0:
		rec.Due = now.Add(waitEvery)
	default:
		rec.Due = now.Add(topologyEvery)
	}
}

// judgeRun says whether the run is over. It is when nothing is left to do, and the
// partners reach each other or have had their time for that.
func (p *topologyPass) judgeRun() {
	run, now := &p.snap.Record.Run, p.now()
	var waits, works, asks []string
	for _, s := range p.sites {
		if j := p.working(s); j != nil && j.State == pair.JobAsks {
			asks = append(asks, fmt.Sprintf("%s asks: %s; tandem jobs approve %s", s.rec.Name, j.Why, s.member.Pair))
		}
		switch {
		case s.gone && s.away != "": // its lists may stay: nobody waits for what is gone
		case s.away != "":
			waits = append(waits, s.rec.Name+" is away")
		case s.rec.Failed != "":
			waits = append(waits, s.rec.Name+" failed")
		case !s.todo() && p.working(s) == nil:
		case p.left(s) && p.obstacle(s) != "":
			waits = append(waits, s.rec.Name+" "+s.rec.Note)
		default:
			works = append(works, s.rec.Name)
		}
	}
	run.Asks = len(asks) > 0
	young := slices.ContainsFunc(p.snap.Record.Alarms, func(a geo.Alarm) bool { return a.Kind == geo.AlarmPartner && !a.Stands(now) })
	switch {
	case len(works) > 0:
		run.State, run.Why = geo.Runs, strings.Join(asks, "; ")
	case len(waits) > 0:
		run.State, run.Why = geo.Waits, strings.Join(waits, "; ")
	case young:
		run.State, run.Why = geo.Runs, "the partners have some minutes to reach each other"
	default:
		run.State, run.Why, run.EndedAt = geo.RunDone, "", now
		p.snap.Record.Earlier = geo.Topology{}
		p.dropGone()
	}
}

// dropGone forgets the members that have left: nothing of ours is on them any more, or
// they cannot be asked.
func (p *topologyPass) dropGone() {
	rec := &p.snap.Record
	for _, s := range p.sites {
		if s.gone && s.away != "" {
			rec.Run.Why = strings.TrimPrefix(rec.Run.Why+"; "+s.rec.Name+" has left and was not reached: what stands in its lists is still there", "; ")
		}
	}
	p.sites = slices.DeleteFunc(p.sites, func(s *site) bool { return s.gone })
	p.forget()
}

// alarms collects what somebody should know. What stood before keeps its time.
func (p *topologyPass) alarms() {
	rec, was, now := &p.snap.Record, p.snap.Record.Alarms, p.now()
	rec.Alarms = nil
	raise := func(s *site, kind, format string, args ...any) {
		a := geo.Alarm{Kind: kind, Member: s.rec.Name, Text: fmt.Sprintf(format, args...), Since: now}
		at := slices.IndexFunc(was, func(o geo.Alarm) bool { return o.Kind == kind && o.Member == a.Member && o.Text == a.Text })
		if at < 0 && kind == geo.AlarmAway { // whose text says how it failed now
			at = slices.IndexFunc(was, func(o geo.Alarm) bool { return o.Kind == kind && o.Member == a.Member })
		}
		if at >= 0 {
			a.Since = was[at].Since
		}
		rec.Alarms = append(rec.Alarms, a)
	}
	for _, s := range p.sites {
		switch {
		case s.gone:
			continue
		case s.away != "":
			raise(s, geo.AlarmAway, "%s", s.away)
			continue
		case s.rec.Failed != "":
			raise(s, geo.AlarmFailed, "%s; look at tandem jobs %s, then tandem ack %s or apply the topology again", s.rec.Failed, s.member.Pair, s.member.Pair)
		case !rec.Run.State.Open() && s.todo() && p.mode(s) < pair.Auto:
			raise(s, geo.AlarmDrift, "%s in mode %s; to have it done: tandem geo apply %s", differs(s), p.mode(s), rec.Topology.Name)
		}
		p.partnerAlarms(s, raise)
		p.clusterAlarms(s, raise)
	}
}

// differs says what a person would have to do.
func differs(s *site) string {
	words := make([]string, len(s.steps))
	for i, step := range s.steps {
		words[i] = step.Action.String()
	}
	return "left to do on " + s.unit.Address.String() + ": " + strings.Join(words, ", ")
}

// partnerAlarms compares what a member says of its partners: of each other member one
// unit must be up, because of a pair one alone serves.
func (p *topologyPass) partnerAlarms(s *site, raise func(*site, string, string, ...any)) {
	told := map[netip.Addr]string{}
	for _, partner := range s.seen.Status {
		told[partner.Address] = partner.Status
	}
	for _, o := range p.sites {
		if o == s || o.gone || len(s.lists.Partners) == 0 {
			continue
		}
		down, up := false, false
		for _, a := range o.lists.Known {
			down = down || strings.EqualFold(told[a], "down")
			up = up || strings.EqualFold(told[a], "up")
		}
		if down && !up {
			raise(s, geo.AlarmPartner, "%s says that no unit of %s is up as its partner", s.unit.Address, o.rec.Name)
		}
	}
}

// clusterAlarms looks whether the cluster of each pair has the address of the unit that
// serves. The guide says that it changes by itself, and there is no command that changes
// it; it is never deleted and created for that, because names would lose their maps.
func (p *topologyPass) clusterAlarms(s *site, raise func(*site, string, string, ...any)) {
	for _, o := range p.sites {
		if !o.isPair() || o.gone || o.away != "" || len(p.wanted.Members) == 1 {
			continue
		}
		serves := o.lists.Known[o.role.Index()]
		called := 0
		for _, c := range s.seen.Clusters {
			if c.Name == o.rec.Name {
				if called++; called == 2 {
					raise(s, geo.AlarmTwice, "there are two clusters %s, the second with the address %s; delete the one that no name uses", c.Name, c.Address)
				}
			}
			if slices.Contains(o.lists.Known, c.Address) && c.Address != serves {
				raise(s, geo.AlarmCluster, "cluster %s has the address %s, and %s serves; it should have changed by itself. On %s, Global Balancing, Manage Clusters: see that the partners are up; only if it stays, change the address by hand",
					c.Name, c.Address, serves, s.unit.Address)
			}
		}
	}
}
