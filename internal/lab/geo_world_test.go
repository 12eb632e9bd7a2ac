package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// guided carries out the guide's procedure by hand over the units' own commands, but
// for what a test leaves out.
type guided struct {
	t *testing.T
	w *World
}

func (g guided) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Error(err)
	}
}

// lists writes both lists of a member.
func (g guided) lists(m geoMember) {
	g.t.Helper()
	access, partners := geoLists(m, g.w.members)
	g.must(submit(g.w.active(m), access, partners))
}

// resubmit writes the partners once more, on the unit that is active now.
func (g guided) resubmit(m geoMember) {
	g.t.Helper()
	_, partners := geoLists(m, g.w.members)
	g.must(g.w.active(m).Command("set", map[string]string{"param": "geopartners", "value": strings.Join(addressList(partners), ",")}))
}

// clusters creates those of all members that a member has not yet.
func (g guided) clusters(m geoMember) {
	g.t.Helper()
	g.must(addClusters(g.w.active(m), slices.DeleteFunc(slices.Clone(g.w.members), func(of geoMember) bool {
		return slices.Contains(g.w.active(m).GEO().Clusters, of.name)
	})))
}

// restart moves a pair to second, and puts the partners in place there.
func (g guided) restart(m geoMember) {
	g.t.Helper()
	g.w.units[m.roles[0]].Reboot()
	time.Sleep(time.Minute)
	if got := g.w.active(m); got != g.w.units[m.roles[1]] {
		g.t.Errorf("%s is active", got.Name())
	}
}

func (g guided) serve() {
	g.t.Helper()
	g.must(g.w.serveName(g.w.active(g.w.members[0]), g.w.members))
}

// wrongFor is how long answers were wrong in a time that passes now.
func (g guided) wrongFor(d time.Duration) time.Duration {
	before := g.w.Outage().Resolved.Wrong
	time.Sleep(d)
	return g.w.Outage().Resolved.Wrong - before
}

// worked is the guide's worked example, without a preference, so that who is active
// stays so.
func worked() Scenario {
	return Scenario{
		Neighbours: 1, GEO: &GEO{Standalones: 2},
		Pair: map[string]any{"units.first.address": "172.24.1.5", "units.second.address": "172.24.1.6", "ha.preferred": "none"},
	}
}

// all of the guide's steps, by name.
var guideSteps = []struct {
	name string
	do   func(guided)
}{
	{"lists", func(g guided) {
		for _, m := range g.w.members {
			g.lists(m)
		}
	}},
	{"restart and submit again", func(g guided) {
		for _, m := range g.w.members[:2] {
			g.restart(m)
			g.resubmit(m)
		}
	}},
	{"submit again on standalone units", func(g guided) {
		for _, m := range g.w.members[2:] {
			g.resubmit(m)
		}
	}},
	{"clusters", func(g guided) {
		for _, m := range g.w.members {
			g.clusters(m)
			time.Sleep(5 * time.Second) // partners pass them on
		}
	}},
	{"name", guided.serve},
}

func TestTheGuidesProcedureByHandGivesRightAnswers(t *testing.T) {
	inWorld(t, worked(), func(t *testing.T, w *World) {
		g := guided{t, w}
		for _, step := range guideSteps {
			step.do(g)
		}
		time.Sleep(30 * time.Second)
		names := []string{"edge-weu", "edge-neu", "sa1", "sa2"}
		all := map[string][]string{}
		others := map[string][]string{}
		for _, name := range names {
			all[name] = names
			others[name] = slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
		}
		w.look(Now{
			Answers: all, Clusters: all, Partners: others,
			Access: map[string][]string{
				"edge-weu": {"172.24.1.5", "172.24.1.7", "172.24.1.8", "172.24.1.9", "172.24.1.10"},
				"sa2":      {"172.24.1.5", "172.24.1.6", "172.24.1.7", "172.24.1.8", "172.24.1.9", "172.24.1.10"},
			},
			PartnerList: map[string][]string{"edge-neu": {"172.24.1.5", "172.24.1.6", "172.24.1.9", "172.24.1.10"}},
		})
		w.Do(Step{Do: "application-down", Unit: "sa2"})
		time.Sleep(30 * time.Second)
		w.look(Now{Answers: map[string][]string{"edge-weu": names[:3], "edge-neu": names[:3], "sa1": names[:3], "sa2": names[:3]}})
		w.Do(Step{Do: "application-up", Unit: "sa2"})
		time.Sleep(30 * time.Second)
		w.look(Now{Answers: all})
		if got := w.Outage().Resolved; got != (Resolved{}) {
			t.Errorf("measured %+v, want nothing wrong", got)
		}
		wantNoFailures(t, w)
	})
}

func TestALeftOutStepShowsAsAWrongAnswer(t *testing.T) {
	for _, tt := range []struct {
		leftOut string
		fails   string // a site with which answers are wrong; empty for none
	}{
		{"lists", "edge-neu is up"},
		{"clusters", ""},
		{"restart and submit again", ""},
	} {
		t.Run(tt.leftOut, func(t *testing.T) {
			inWorld(t, worked(), func(t *testing.T, w *World) {
				g := guided{t, w}
				for _, step := range guideSteps {
					if step.name != tt.leftOut {
						step.do(g)
					}
				}
				wrong := g.wrongFor(2 * time.Minute)
				if tt.fails == "" && wrong > 0 || tt.fails != "" && wrong < time.Minute {
					t.Errorf("wrong for %v", wrong)
				}
				if tt.fails == "" {
					return
				}
				if !slices.ContainsFunc(w.Transcript(), func(l Line) bool { return strings.Contains(l.Event, "WRONG: ") && strings.Contains(l.Event, tt.fails) }) {
					t.Errorf("nobody tells that %s", tt.fails)
				}
			})
		})
	}
}

func TestAWrongListOfOneMemberShowsAsAWrongAnswer(t *testing.T) {
	for _, tt := range []struct{ name, param, value, tells string }{
		{
			"an access list without a pair's second unit, which is active", "geoclients", "172.24.1.5,172.24.1.7,172.24.1.8,172.24.1.9,172.24.1.10",
			"edge-weu answers www.example.com with edge-neu, edge-weu, sa2, WRONG: sa1 is up",
		},
		{
			"a partner list of nobody", "geopartners", "",
			"sa1 knows no site for www.example.com, WRONG: edge-weu is up, edge-neu is up, sa1 is up, sa2 is up",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, worked(), func(t *testing.T, w *World) {
				g := guided{t, w}
				for _, step := range guideSteps {
					step.do(g)
				}
				g.must(w.units["sa1"].Command("set", map[string]string{"param": tt.param, "value": tt.value}))
				if wrong := g.wrongFor(time.Minute); wrong < 30*time.Second {
					t.Errorf("wrong for %v", wrong)
				}
				if !slices.ContainsFunc(w.Transcript(), func(l Line) bool { return l.Event == tt.tells }) {
					t.Errorf("nobody tells %q", tt.tells)
				}
			})
		})
	}
}

// TestAFailoverWithoutThePartnersSubmittedAgain: the others ask the unit that is gone,
// until the partners are submitted on the one that took over.
func TestAFailoverWithoutThePartnersSubmittedAgain(t *testing.T) {
	sc := worked()
	sc.GEO.Settled = []string{"edge-weu", "edge-neu", "sa1", "sa2"}
	inWorld(t, sc, func(t *testing.T, w *World) {
		g := guided{t, w}
		if wrong := g.wrongFor(time.Minute); wrong > 0 {
			t.Errorf("wrong for %v before anything happened", wrong)
		}
		w.Do(Step{Do: "crash", Unit: "first"})
		time.Sleep(time.Minute)
		three := []string{"edge-neu", "sa1", "sa2"}
		w.look(Now{Answers: map[string][]string{"edge-weu": append([]string{"edge-weu"}, three...), "sa1": three, "edge-neu": three}})
		if wrong := g.wrongFor(time.Minute); wrong < 55*time.Second {
			t.Errorf("wrong for %v in a minute", wrong)
		}
		g.resubmit(w.members[0])
		time.Sleep(15 * time.Second)
		if wrong := g.wrongFor(time.Minute); wrong > 0 {
			t.Errorf("wrong for %v after the partners were submitted", wrong)
		}
		w.look(Now{Partners: map[string][]string{"sa1": {"edge-weu", "edge-neu", "sa2"}}})
		if got := w.Outage().Resolved.Unanswered; got > 0 {
			t.Errorf("nobody answered for %v", got)
		}
		wantNoFailures(t, w)
	})
}

func TestTheFileOfAStorysTopology(t *testing.T) {
	inWorld(t, Scenario{Neighbours: 1, GEO: &GEO{Standalones: 2}}, func(t *testing.T, w *World) {
		file, err := w.TopologyFile(Step{Members: []string{"edge-neu", "sa2"}, Set: map[string]any{"mode": "auto"}})
		want := "apiVersion: tandem/v1\nkind: GeoTopology\nmembers:\n    - pair: edge-neu\n    - api:\n        port: 8443\n        secret: sa2-api\n" +
			"        tls:\n            sha256: " + w.units["sa2"].CertificateSHA256() + "\n      name: sa2\n      standalone: 10.0.0.9\nmode: auto\nname: global\n"
		if err != nil || string(file) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, file, want)
		}
		if file, err := w.TopologyFile(Step{}); err != nil || strings.Count(string(file), "- pair: ") != 2 || strings.Count(string(file), "standalone: ") != 2 {
			t.Errorf("all: %v\n%s", err, file)
		}
		if _, err := w.TopologyFile(Step{Members: []string{"sa3"}}); err == nil || !strings.Contains(err.Error(), "sa3") {
			t.Errorf("a member that is none: %v", err)
		}
		if key := w.Secrets()["sa1-api"]; key != APIKey("sa1-api") {
			t.Errorf("the key of sa1 is %q", key)
		}
	})
}

func TestALookAtGEOTellsWhatIsOtherwise(t *testing.T) {
	inWorld(t, Scenario{GEO: &GEO{Standalones: 1, Settled: []string{"edge-weu", "sa1"}}}, func(t *testing.T, w *World) {
		w.Options.Topology = func() (string, []string) { return "waits", []string{"partner", "away"} }
		both := []string{"sa1", "edge-weu"}
		w.look(Now{
			Answers: map[string][]string{"edge-weu": both, "sa1": both}, Partners: map[string][]string{"sa1": {"edge-weu"}}, Clusters: map[string][]string{"sa1": both},
			Access: map[string][]string{"edge-weu": {"10.0.0.6", "10.0.0.4"}}, PartnerList: map[string][]string{"sa1": {"10.0.0.5", "10.0.0.4"}},
			Topology: "waits", TopologyAlarms: &[]string{"away", "partner"},
		})
		wantNoFailures(t, w)
		w.look(Now{
			Answers: map[string][]string{"edge-weu": {"sa1"}}, Partners: map[string][]string{"sa1": {}}, Clusters: map[string][]string{"sa9": both},
			Access: map[string][]string{"edge-weu": {"10.0.0.4"}}, PartnerList: map[string][]string{"sa1": {"10.0.0.4"}},
			Topology: "done", TopologyAlarms: &[]string{},
		})
		want := []string{
			"edge-weu answers with [edge-weu sa1], expected [sa1]",
			"sa1 has as partners that are up [edge-weu], expected []",
			"edge-weu has as access list [10.0.0.4 10.0.0.6], expected [10.0.0.4]",
			"sa1 has as partner list [10.0.0.4 10.0.0.5], expected [10.0.0.4]",
			`member "sa9": there is none in this story`,
			`the run of the topology is "waits", expected "done"`,
			"alarms [away partner] stand in the topology, expected []",
		}
		if got := w.Failures(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
