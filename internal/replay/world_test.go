package replay_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/replay"
)

var evening = time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)

// example is the definition that the documents show, in mode auto with a fence
// that nobody is asked for.
func example(t testing.TB, changes ...string) pair.Definition {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	changes = append([]string{"mode: observe", "mode: auto", "fence: ask", "fence: auto"}, changes...)
	all, err := manifest.Read("example", strings.NewReader(strings.NewReplacer(changes...).Replace(string(b))))
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// play lets passes look at a pair whose second unit answers 200, too, while the
// link is cut, and returns its journal as it is stored: without quiet looks. A
// person speaks before each look.
type play struct {
	t    testing.TB
	def  pair.Definition
	cut  [][2]time.Duration // from, to
	ends time.Duration
	slow time.Duration // how much later than asked a look comes
	says func(at time.Duration, rec *pair.Record)

	rec     pair.Record
	entries []pair.Entry
}

// proved is a record of a pair of which the lever is proved.
func proved(def pair.Definition) pair.Record {
	rec := pair.Record{V: pair.Version, MinReader: pair.MinReader, Epoch: 1}
	for _, lb := range def.LoadBalancers {
		for _, pool := range lb.Pools {
			rec.Proofs = append(rec.Proofs, pair.LeverProof{LoadBalancer: lb.Name, Pool: pool, At: evening, By: "ann", Back: true})
		}
	}
	return rec
}

func (p *play) run() []pair.Entry {
	p.t.Helper()
	p.rec = proved(p.def)
	for at := time.Duration(0); at < p.ends; {
		if p.says != nil {
			p.says(at, &p.rec)
		}
		next := p.look(at)
		if next == 0 {
			next = 15*time.Second - at%(15*time.Second)
		}
		at += next + p.slow
	}
	return p.entries
}

// look makes one pass whose writes are done at once.
func (p *play) look(at time.Duration) time.Duration {
	p.t.Helper()
	now := evening.Add(at)
	in := pair.Input{Definition: p.def, MaxMode: pair.Auto, Record: p.rec}
	in.Observation.At = now
	second, state := pair.CheckIdle, pair.Standby
	for _, cut := range p.cut {
		if at >= cut[0] && at < cut[1] {
			second, state = pair.CheckServing, pair.Active
		}
	}
	for i, u := range []struct {
		check pair.CheckAnswer
		state pair.HAState
	}{{pair.CheckServing, pair.Active}, {second, state}} {
		in.Observation.Units[i] = pair.UnitSeen{
			Check: pair.CheckSeen{Answer: u.check, At: now},
			API:   pair.APISeen{Answer: pair.APIAnswered, At: now, Report: pair.Report{State: u.state, Preferred: pair.PreferFirst}},
		}
	}
	if len(p.rec.Admin) > 0 {
		in.Observation.Balancers = p.balancers(now)
	}
	d := pair.Decide(&in)
	if d.ReadBalancers {
		in.Observation.Balancers = p.balancers(now)
		d = pair.Decide(&in)
	}
	if !d.Quiet() {
		body, err := json.Marshal(pair.Decided{Decision: d, Input: in, Reason: pair.Explain(&in, &d), Person: pair.PersonCanDo(&d)})
		if err != nil {
			p.t.Fatal(err)
		}
		p.entries = append(p.entries, pair.Entry{ID: d.ID, Kind: pair.EntryDecided, At: now, Body: body})
	}
	p.rec = d.Record
	held := p.rec.Admin[:0:0]
	for _, h := range p.rec.Admin {
		h.Landed = true
		gone := false
		for _, i := range d.Intents {
			gone = gone || i.Kind == pair.IntentRelease && i.Pool == h.Pool && i.LoadBalancer == h.LoadBalancer
		}
		if !gone {
			held = append(held, h)
		}
	}
	p.rec.Admin = held
	return time.Duration(d.Next)
}

func (p *play) balancers(now time.Time) []pair.BalancerSeen {
	var all []pair.BalancerSeen
	for _, lb := range p.def.LoadBalancers {
		b := pair.BalancerSeen{Name: lb.Name, At: now, Tags: map[string]string{}}
		for _, pool := range lb.Pools {
			seen := pair.PoolSeen{Name: pool, ETag: "1"}
			for _, r := range pair.Roles {
				u := p.def.Units.Of(r)
				m := pair.MemberSeen{Name: u.VM, Address: u.Address, Admin: pair.AdminNone}
				reason := "Up_Probe_Success"
				for _, h := range p.rec.Admin {
					if h.Unit == r {
						m.Admin, reason = pair.AdminDown, "Down_Admin"
						b.Tags[pair.TagName(p.def.Name)] = "second is Down until 2026-11-22T21:10:00Z by decision 9 (fence) of tandem"
					}
				}
				seen.Members = append(seen.Members, m)
				b.Health = append(b.Health, health(u.Address, reason))
			}
			b.Pools = append(b.Pools, seen)
		}
		all = append(all, b)
	}
	return all
}

func health(a netip.Addr, reason string) pair.HealthSeen {
	return pair.HealthSeen{Rule: "check", Address: a, Up: reason == "Up_Probe_Success", Reason: reason}
}

// linkCut is the journal of a link that is cut after a minute and mended after
// another six.
func linkCut(t testing.TB, changes ...string) []pair.Entry {
	t.Helper()
	p := &play{t: t, def: example(t, changes...), cut: [][2]time.Duration{{time.Minute, 7 * time.Minute}}, ends: 10 * time.Minute}
	return p.run()
}

func history(t testing.TB, entries []pair.Entry) replay.History {
	t.Helper()
	h, err := replay.Of(entries)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// what lists the decisions of a course by time, row and intents.
func what(steps []replay.Step, told func(replay.Step) *replay.Told) []string {
	var all []string
	for _, s := range steps {
		if told := told(s); told != nil {
			all = append(all, s.At.Sub(evening).String()+" "+told.Row+" "+strings.Join(told.Intents, ", "))
		}
	}
	return all
}

func happened(s replay.Step) *replay.Told { return s.Happened }
func instead(s replay.Step) *replay.Told  { return &s.Instead }
