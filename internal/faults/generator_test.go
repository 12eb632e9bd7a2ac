package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tandem/internal/lab"
)

const (
	// stepFor is the time between two faults.
	stepFor = 30 * time.Second
	// calmBefore is what a story begins with, in which the lever can be proved.
	calmBefore = 3 * time.Minute
	// healedFor is how long after the last fault was healed a pair may need to
	// be healthy, with nothing left: ten minutes of hold-down are the longest
	// wait of its own, an approval is given twice in that time, a clock that
	// stepped may bind a lease for six and a half minutes, then come a boot with
	// five minutes of grace and five looks to believe it.
	healedFor = 20 * time.Minute
	// healedSoon is when it mostly is, and what a story made by the generator
	// lasts; a pair that is not ready then gets the rest.
	healedSoon = 15 * time.Minute
)

// fault is one thing that can go wrong and what ends it; what passes by itself
// has no end.
type fault struct {
	weight int
	begin  func(*generator) (begin, end lab.Step)
}

// generator makes stories from a seed.
type generator struct {
	random *rand.Rand
	sc     lab.Scenario
	active []lab.Step        // what would end each fault that stands
	off    map[string]string // units without power, and why
	skew   map[string]time.Duration
	policy map[string]any // changed by apply: what it was
}

// generate makes the story of a seed, with so many steps and all of them healed
// at the end.
//
// healing is how many steps at the end are the healing, without which a story
// says nothing about convergence.
func generate(seed uint64, steps int) (sc lab.Scenario, healing int) {
	g := &generator{
		random: rand.New(rand.NewPCG(seed, 0x6661756c7473)),
		off:    map[string]string{}, skew: map[string]time.Duration{}, policy: map[string]any{},
	}
	g.sc = lab.Scenario{
		Name: fmt.Sprintf("random-%d", seed), Summary: fmt.Sprintf("Random faults, from seed %d.", seed),
		Pair: map[string]any{}, Options: map[string]string{}, Boot: g.seconds(20, 20, 60, 150), Workers: 1 + g.random.IntN(5)/2,
	}
	g.sc.Workers = min(g.sc.Workers, 2)
	if g.chance(8) {
		g.sc.Neighbours = 1
	}
	g.begin()
	at := calmBefore
	for range steps - 1 {
		st := g.step()
		st.At = at
		g.sc.Steps = append(g.sc.Steps, st)
		at += stepFor
	}
	before := len(g.sc.Steps)
	g.heal(at)
	return g.sc, len(g.sc.Steps) - before
}

func (g *generator) chance(percent int) bool { return g.random.IntN(100) < percent }

// seconds and millis return one of the numbers as that many of them.
func (g *generator) seconds(of ...int) time.Duration {
	return time.Duration(one(g, of...)) * time.Second
}

func (g *generator) millis(of ...int) time.Duration {
	return time.Duration(one(g, of...)) * time.Millisecond
}

func one[T any](g *generator, of ...T) T { return of[g.random.IntN(len(of))] }

// begin chooses the pair's policy and the world's answers to open questions, and
// mostly has the lever proved.
func (g *generator) begin() {
	set := func(key string, of ...any) { g.sc.Pair[key] = one(g, of...) }
	set("mode", "auto", "auto", "auto", "auto", "auto", "auto", "recommend", "observe")
	set("failover.fence", "auto", "auto", "auto", "ask", "never")
	set("failover.start", "auto", "auto", "ask", "never")
	set("failover.restart", "auto", "auto", "ask", "never")
	set("failover.suspectAfter", 1, 1, 2)
	set("failover.confirmAfter", 2, 2, 3)
	set("failover.recoverAfter", 1, 2, 5)
	set("failover.holdDown", "30s", "30s", "2m", "10m")
	set("failover.maxMovesPerHour", 2, 10, 60)
	set("ha.preferred", "first", "first", "none")
	if g.chance(25) {
		g.sc.Pair["failover.up"], g.sc.Pair["ha.standbyForwards"] = "auto", "yes"
	}
	if g.chance(20) && g.sc.Pair["ha.preferred"] == "first" {
		g.sc.Pair["ha.failback"] = one(g, "managed", "never")
	}
	for _, q := range []struct {
		name    string
		answers []string
	}{
		{"late-write-shows", []string{"old"}},
		{"no-preference-healing", []string{"first", "nobody"}},
		{"parameters-need-reboot", []string{"yes"}},
		{"passive-until", []string{"partner-checked"}},
		{"polled-by", []string{"load-balancer", "anyone"}},
		{"second-write", []string{"refused"}},
		{"standby-forwards", []string{"yes"}},
	} {
		if g.chance(12) {
			g.sc.Options[q.name] = one(g, q.answers...)
		}
	}
	if g.sc.Options["no-preference-healing"] == "nobody" {
		delete(g.sc.Options, "no-preference-healing") // without a preference such a pair never heals
	}
	g.sc.Unproved = g.chance(25)
	if g.sc.Unproved && g.chance(80) {
		g.sc.Steps = append(g.sc.Steps, lab.Step{At: 20 * time.Second, Do: "prove"})
		if g.sc.Neighbours > 0 {
			g.sc.Steps = append(g.sc.Steps, lab.Step{At: 25 * time.Second, Do: "prove", Unit: "edge-neu"})
		}
	}
}

// step makes the next fault, or ends one that stands.
func (g *generator) step() lab.Step {
	if n := len(g.active); n > 0 && (g.chance(42) || n > 4) {
		i := g.random.IntN(n)
		st := g.active[i]
		g.active = slices.Delete(g.active, i, i+1)
		g.ended(st)
		return st
	}
	for {
		f := faults[g.choose()]
		begin, end := f.begin(g)
		if begin.Do == "" {
			continue
		}
		if end.Do != "" {
			g.active = append(g.active, end)
		}
		return begin
	}
}

func (g *generator) ended(st lab.Step) {
	switch st.Do {
	case "boot", "start":
		delete(g.off, st.Unit)
	case "clock":
		g.skew[st.Unit] += st.For
	}
}

var weights = func() (sum int) {
	for _, f := range faults {
		sum += f.weight
	}
	return sum
}()

func (g *generator) choose() int {
	n := g.random.IntN(weights)
	for i, f := range faults {
		if n -= f.weight; n < 0 {
			return i
		}
	}
	return 0
}

func (g *generator) unit() string {
	if g.sc.Neighbours > 0 && g.chance(25) {
		return one(g, "neighbour-first", "neighbour-second")
	}
	return one(g, "first", "second")
}

func (g *generator) worker() string { return fmt.Sprintf("worker-%d", 1+g.random.IntN(g.sc.Workers)) }

func (g *generator) pair() string {
	if g.sc.Neighbours > 0 && g.chance(25) {
		return "edge-neu"
	}
	return "edge-weu"
}

// paired is a fault of a unit that another verb ends.
func paired(begin, end string) func(*generator) (lab.Step, lab.Step) {
	return func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		return lab.Step{Do: begin, Unit: u}, lab.Step{Do: end, Unit: u}
	}
}

// link is a fault of the link between the units, mostly one way at a time: one
// by one they make a partition, and are healed in another order.
func link(begin, end string) func(*generator) (lab.Step, lab.Step) {
	return func(g *generator) (lab.Step, lab.Step) {
		a, b := lab.Step{Do: begin}, lab.Step{Do: end}
		if g.chance(50) {
			a.From, a.To = "first", "second"
			if g.chance(50) {
				a.From, a.To = a.To, a.From
			}
			b.From, b.To = a.From, a.To
		}
		return a, b
	}
}

// passes is a fault that is over by itself.
func passes(step func(g *generator) lab.Step) func(*generator) (lab.Step, lab.Step) {
	return func(g *generator) (lab.Step, lab.Step) { return step(g), lab.Step{} }
}

// faults are all of them, with how often each comes.
var faults = []fault{
	{14, link("cut", "heal")},
	{4, link("block-partner", "unblock-partner")},
	{8, func(g *generator) (lab.Step, lab.Step) { return g.powerless("crash", "", "boot") }},
	{3, func(g *generator) (lab.Step, lab.Step) { return g.powerless("hang", "", "boot") }},
	{4, func(g *generator) (lab.Step, lab.Step) { return g.powerless("deallocate", "person", "start") }},
	{6, func(g *generator) (lab.Step, lab.Step) { return g.powerless("deallocate", "platform", "start") }},
	{3, passes(func(g *generator) lab.Step { return lab.Step{Do: "reboot", Unit: g.unit()} })},
	{4, paired("block-probe", "unblock-probe")},
	{5, paired("cut-worker", "heal-worker")},
	{4, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		return lab.Step{Do: "flap", Unit: u, Every: g.seconds(2, 3, 5, 7, 20, 45)}, lab.Step{Do: "calm", Unit: u}
	}},
	{6, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		return lab.Step{Do: "check-port", Unit: u, State: one(g, "200", "200", "503", "silent")}, lab.Step{Do: "check-port", Unit: u, State: "honest"}
	}},
	{3, paired("stop-forwarding", "forward")},
	{2, func(g *generator) (lab.Step, lab.Step) {
		return lab.Step{Do: "application-down"}, lab.Step{Do: "application-up"}
	}},
	{2, paired("rotate-password", "restore-password")},
	{1, func(g *generator) (lab.Step, lab.Step) {
		u := one(g, "first", "second") // an operator edits one pair file
		return lab.Step{Do: "new-certificate", Unit: u}, lab.Step{Do: "pin", Unit: u}
	}},
	{3, paired("api-silent", "api-answers")},
	{2, paired("stuck-passive", "unstick")},
	{2, paired("stuck-standby", "unstick")},
	{2, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		now, then := "1", "0"
		if g.chance(50) {
			now, then = then, now
		}
		return lab.Step{Do: "configure", Unit: u, Set: map[string]any{"haprefered": now}}, lab.Step{Do: "configure", Unit: u, Set: map[string]any{"haprefered": then}}
	}},

	{2, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		wrong := one(g, map[string]any{"partner": "10.0.0.99"}, map[string]any{"hcp": "8445"}, map[string]any{"hamode": "single"}, map[string]any{"hamode": "first"}, map[string]any{"hcai": "1"})
		return lab.Step{Do: "configure", Unit: u, Set: wrong}, lab.Step{Do: "configure", Unit: u, Set: g.right(u)}
	}},
	{1, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		return lab.Step{Do: "firmware", Unit: u, State: "7.2.60.0.12345.RELEASE"}, lab.Step{Do: "firmware", Unit: u, State: firmware}
	}},

	{5, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "manager-throttled", For: g.seconds(10, 30, 60, 600), Late: g.seconds(0, 2, 10)}
	})},
	{5, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "manager-down", For: g.seconds(5, 20, 40, 120)}
	})},
	{5, func(g *generator) (lab.Step, lab.Step) {
		return lab.Step{Do: "manager-late", Late: g.seconds(5, 20, 60, 480), Times: g.random.IntN(3)}, lab.Step{Do: "manager-late"}
	}},
	{3, passes(func(g *generator) lab.Step { return lab.Step{Do: "manager-no-effect", Times: 1 + g.random.IntN(2)} })},
	{4, passes(func(g *generator) lab.Step { return lab.Step{Do: "manager-fails", Times: 1 + g.random.IntN(3)} })},
	{4, passes(func(g *generator) lab.Step { return lab.Step{Do: "edit-between", Times: 1 + g.random.IntN(3)} })},
	{1, passes(func(g *generator) lab.Step { return lab.Step{Do: "allocation-fails", Times: 1} })},
	{4, passes(func(*generator) lab.Step { return lab.Step{Do: "redeploy"} })},
	{4, func(g *generator) (lab.Step, lab.Step) {
		u := g.unit()
		return lab.Step{Do: "set-admin", Unit: u, State: one(g, "Down", "Down", "Up")}, lab.Step{Do: "set-admin", Unit: u, State: "None"}
	}},

	{4, func(*generator) (lab.Step, lab.Step) { return lab.Step{Do: "store-down"}, lab.Step{Do: "store-up"} }},
	{3, func(*generator) (lab.Step, lab.Step) {
		return lab.Step{Do: "store-readonly"}, lab.Step{Do: "store-up"}
	}},
	{7, passes(func(g *generator) lab.Step { return lab.Step{Do: "store-fails", Times: 1 + g.random.IntN(6)} })},
	{3, func(g *generator) (lab.Step, lab.Step) {
		return lab.Step{Do: "store-slow", Late: g.millis(200, 1000, 3000, 7000)}, lab.Step{Do: "store-up"}
	}},
	{6, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "kill", Unit: g.worker(), Times: 1 + g.random.IntN(3), Every: g.seconds(2, 5, 10)}
	})},
	{7, passes(func(g *generator) lab.Step { return lab.Step{Do: "kill-after-write", Unit: g.worker()} })},
	{2, passes(func(*generator) lab.Step { return lab.Step{Do: "kill-after-events"} })},
	{5, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "freeze", Unit: g.worker(), For: g.seconds(5, 15, 40, 90, 300)}
	})},
	{7, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "freeze-before-write", Unit: g.worker(), For: g.seconds(5, 20, 60, 300)}
	})},
	{3, func(g *generator) (lab.Step, lab.Step) {
		u, by := g.worker(), g.seconds(-3600, -300, -10, 3, 30, 300, 3600)
		g.skew[u] += by
		return lab.Step{Do: "clock", Unit: u, For: by}, lab.Step{Do: "clock", Unit: u, For: -by}
	}},
	{2, passes(func(g *generator) lab.Step { return lab.Step{Do: "sweep-gap", For: g.seconds(20, 60, 120)} })},

	{4, func(g *generator) (lab.Step, lab.Step) {
		u := g.pair()
		return lab.Step{Do: "pause", Unit: u, For: g.seconds(30, 120, 3600)}, lab.Step{Do: "resume", Unit: u}
	}},
	{2, func(g *generator) (lab.Step, lab.Step) {
		return lab.Step{Do: "pause", State: "all", For: g.seconds(30, 120, 3600)}, lab.Step{Do: "resume", State: "all"}
	}},
	{2, func(g *generator) (lab.Step, lab.Step) { // maintenance of one unit
		u := g.pair()
		return lab.Step{Do: "pause", Unit: u, State: one(g, "first", "second"), For: 10 * time.Minute}, lab.Step{Do: "resume", Unit: u}
	}},
	{5, passes(func(g *generator) lab.Step { return lab.Step{Do: "approve", Unit: g.pair()} })},
	{3, passes(func(g *generator) lab.Step { return lab.Step{Do: "ack", Unit: g.pair()} })},
	{3, passes(func(g *generator) lab.Step { return lab.Step{Do: "prove", Unit: g.pair()} })},
	{5, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "switchover", Unit: g.pair(), State: one(g, "first", "second"), For: g.seconds(1, 60)}
	})},
	{1, passes(func(g *generator) lab.Step { return lab.Step{Do: "set-up", Unit: g.pair()} })},
	{4, passes(func(g *generator) lab.Step { return lab.Step{Do: "consent", Unit: g.pair()} })},
	{1, passes(func(g *generator) lab.Step { return lab.Step{Do: "cancel", Unit: g.pair()} })},
	{5, func(g *generator) (lab.Step, lab.Step) {
		key, value := g.policyChange()
		was, known := g.sc.Pair[key]
		if !known {
			return lab.Step{}, lab.Step{}
		}
		g.policy[key] = was
		return lab.Step{Do: "apply", Set: map[string]any{key: value}}, lab.Step{Do: "apply", Set: map[string]any{key: was}}
	}},

	{4, func(g *generator) (lab.Step, lab.Step) {
		st := lab.Step{Do: "event-grid"}
		switch g.random.IntN(3) {
		case 0:
			st.Late = g.seconds(10, 60, 400)
		case 1:
			st.Times = 2 + g.random.IntN(2)
		default:
			st.Lose = true
		}
		return st, lab.Step{Do: "event-grid"}
	}},
	{3, passes(func(g *generator) lab.Step { return lab.Step{Do: "replay-events", Times: 1 + g.random.IntN(2)} })},
	{1, passes(func(g *generator) lab.Step { return lab.Step{Do: "event-storm", Unit: g.unit(), Times: 20} })},
	{1, passes(func(*generator) lab.Step { return lab.Step{Do: "foreign-events", Times: 1} })},
	{2, passes(func(g *generator) lab.Step {
		return lab.Step{Do: "annotate", Unit: g.unit(), State: one(g, "HostCrashed", "StopInitiatedByControlPlane", "Restarted", "ScheduledForServiceHealing")}
	})},
}

// partners are the addresses of the units' partners, by the pair files.
var partners = map[string]string{"first": "10.0.0.5", "second": "10.0.0.4", "neighbour-first": "10.0.0.7", "neighbour-second": "10.0.0.6"}

// right is how a unit must be set up.
func (g *generator) right(u string) map[string]any {
	preferred := "0"
	if g.sc.Pair["ha.preferred"] == "first" {
		preferred = "1"
	}
	return map[string]any{"hamode": strings.TrimPrefix(u, "neighbour-"), "partner": partners[u], "hcp": "8444", "haprefered": preferred, "hcai": "0"}
}

func (g *generator) policyChange() (string, any) {
	switch g.random.IntN(6) {
	case 0:
		return "mode", one(g, "auto", "recommend", "observe")
	case 1:
		return "failover.fence", one(g, "auto", "ask", "never")
	case 2:
		return "failover.start", one(g, "auto", "ask", "never")
	case 3:
		return "failover.restart", one(g, "auto", "ask", "never")
	case 4:
		return "failover.recoverAfter", one(g, 1, 5)
	default:
		return "failover.confirmAfter", one(g, 2, 4)
	}
}

// powerless takes the power from a unit that has it.
func (g *generator) powerless(do, by, end string) (lab.Step, lab.Step) {
	u := g.unit()
	if g.off[u] != "" {
		return lab.Step{}, lab.Step{}
	}
	g.off[u] = do
	return lab.Step{Do: do, Unit: u, By: by}, lab.Step{Do: end, Unit: u}
}

// heal ends everything that may stand, whatever does, and gives a pair what it
// needs of a person.
func (g *generator) heal(at time.Duration) {
	add := func(st lab.Step) {
		st.At = at
		g.sc.Steps = append(g.sc.Steps, st)
		at += time.Second
	}
	units, pairs := []string{"first", "second"}, []string{"edge-weu"}
	if g.sc.Neighbours > 0 {
		units, pairs = append(units, "neighbour-first", "neighbour-second"), append(pairs, "edge-neu")
	}
	g.sc.Steps = append(g.sc.Steps, lab.Step{At: at, Expect: &lab.Now{}}) // marks where the healing begins
	for _, do := range []string{"store-up", "manager-late", "heal", "unblock-partner", "event-grid", "application-up", "start-program"} {
		add(lab.Step{Do: do})
	}
	for _, u := range units {
		for _, do := range []string{"calm", "forward", "restore-password", "api-answers", "unstick", "unblock-probe", "heal-worker", "start"} {
			add(lab.Step{Do: do, Unit: u})
		}
		add(lab.Step{Do: "check-port", Unit: u, State: "honest"})
		add(lab.Step{Do: "set-admin", Unit: u, State: "None"})
		add(lab.Step{Do: "configure", Unit: u, Set: g.right(u)})
		add(lab.Step{Do: "firmware", Unit: u, State: firmware})
	}
	for _, worker := range slices.Sorted(maps.Keys(g.skew)) {
		add(lab.Step{Do: "clock", Unit: worker, For: -g.skew[worker]})
	}
	for _, u := range []string{"first", "second"} {
		if slices.ContainsFunc(g.sc.Steps, func(st lab.Step) bool { return st.Do == "new-certificate" && st.Unit == u }) {
			add(lab.Step{Do: "pin", Unit: u})
		}
	}
	if len(g.policy) > 0 {
		add(lab.Step{Do: "apply", Set: g.policy})
	}
	add(lab.Step{Do: "resume", State: "all"})
	for _, p := range pairs {
		add(lab.Step{Do: "cancel", Unit: p}) // a job that still asks for what somebody wanted before
		if g.sc.Pair["ha.standbyForwards"] == "yes" && g.sc.Options["standby-forwards"] != "yes" {
			// Whoever wrote the pair file was wrong, which keeps every switchover waiting.
			add(lab.Step{Do: "apply", Unit: p, Set: map[string]any{"ha.standbyForwards": "no", "failover.up": "never"}})
		}
		add(lab.Step{Do: "resume", Unit: p})
	}
	for _, do := range []string{"start", "boot", "reboot"} { // the first start may have found no room
		at += 40 * time.Second
		for _, u := range units {
			if do != "reboot" || g.needsReboot(u) {
				add(lab.Step{Do: do, Unit: u})
			}
		}
	}
	healed := at
	for round := range 7 {
		for _, p := range pairs {
			for _, do := range []string{"ack", "approve", "consent"} {
				add(lab.Step{Do: do, Unit: p})
			}
			if round > 0 && round < 5 && g.sc.Pair["ha.preferred"] == "first" {
				add(lab.Step{Do: "switchover", Unit: p, State: "first", For: time.Second}) // who failed over for an announced trouble stays there
			}
		}
		at += 2 * time.Minute
	}
	g.sc.For = healed + healedSoon
}

// needsReboot reports whether a unit may run other firmware, or in another mode,
// than it is set to.
func (g *generator) needsReboot(u string) bool {
	if g.sc.Options["parameters-need-reboot"] == "yes" {
		return true
	}
	return slices.ContainsFunc(g.sc.Steps, func(st lab.Step) bool {
		return st.Unit == u && (st.Do == "firmware" && st.State != firmware || st.Do == "configure" && (st.Set["hamode"] != nil || st.Set["partner"] != nil || st.Set["hcp"] != nil) && st.Set["haprefered"] == nil)
	})
}

// setClocks makes the clocks right that the healing of a story sets, by the steps
// before it.
func setClocks(sc lab.Scenario, healing int) lab.Scenario {
	skew := map[string]time.Duration{}
	sc.Steps = slices.Clone(sc.Steps)
	for n, st := range sc.Steps {
		switch {
		case st.Do != "clock":
		case n < len(sc.Steps)-healing:
			skew[st.Unit] += st.For
		default:
			sc.Steps[n].For = -skew[st.Unit]
		}
	}
	return sc
}

// storyOf writes a scenario as the lab's stories are written.
func storyOf(sc lab.Scenario, comment string) []byte {
	var b strings.Builder
	for line := range strings.Lines(comment) {
		b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
	}
	fmt.Fprintf(&b, "name: %s\nsummary: %q\nfor: %s\n", sc.Name, sc.Summary, sc.For)
	if sc.Boot > 0 {
		fmt.Fprintf(&b, "boot: %s\n", sc.Boot)
	}
	if sc.Active != "" {
		fmt.Fprintf(&b, "active: %s\n", sc.Active)
	}
	if sc.Workers > 0 {
		fmt.Fprintf(&b, "workers: %d\n", sc.Workers)
	}
	if sc.Neighbours > 0 {
		fmt.Fprintf(&b, "neighbours: %d\n", sc.Neighbours)
	}
	if sc.Unproved {
		b.WriteString("unproved: true\n")
	}
	mapping := func(name string, m map[string]any) {
		if len(m) > 0 {
			fmt.Fprintf(&b, "%s:\n", name)
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "  %s: %v\n", k, m[k])
		}
	}
	mapping("pair", sc.Pair)
	options := map[string]any{}
	for k, v := range sc.Options {
		options[k] = fmt.Sprintf("%q", v)
	}
	mapping("options", options)
	b.WriteString("steps:\n")
	for _, st := range sc.Steps {
		fmt.Fprintf(&b, "  - { %s }\n", strings.Join(members(st), ", "))
	}
	return []byte(b.String())
}

// members are the fields of a step that say something.
func members(st lab.Step) []string {
	var out []string
	add := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(true, "at: %s", st.At)
	add(st.Do != "", "do: %s", st.Do)
	add(st.Expect != nil, "expect: {}")
	add(st.Unit != "", "unit: %s", st.Unit)
	add(st.From != "", "from: %s", st.From)
	add(st.To != "", "to: %s", st.To)
	add(st.Late != 0, "late: %s", st.Late)
	add(st.Times != 0, "times: %d", st.Times)
	add(st.Lose, "lose: true")
	add(st.By != "", "by: %s", st.By)
	add(st.Every != 0, "every: %s", st.Every)
	add(st.For != 0, "for: %s", st.For)
	add(st.State != "", "state: %q", st.State)
	add(st.Address != "", "address: %s", st.Address)
	if len(st.Set) > 0 {
		var set []string
		for _, k := range slices.Sorted(maps.Keys(st.Set)) {
			if n, isNumber := st.Set[k].(int); isNumber {
				set = append(set, fmt.Sprintf("%q: %d", k, n))
				continue
			}
			set = append(set, fmt.Sprintf("%s: %q", k, fmt.Sprint(st.Set[k])))
		}
		add(true, "set: { %s }", strings.Join(set, ", "))
	}
	return out
}
