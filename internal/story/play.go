package story

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem"
	"tandem/internal/lab"
	"tandem/internal/lab/arm"
	"tandem/internal/loadmaster"
	"tandem/internal/store"
	"tandem/internal/vault"
)

// Options are how a story is played.
type Options struct {
	Seed uint64
	// Tell gets every line of the transcript as it happens; it may be nil.
	Tell func(lab.Line)
	// Expose, if not nil, is called with the world before the story begins, to
	// open it to programs outside. It must not be used in virtual time.
	Expose func(context.Context, *lab.World) error
	// Journal keeps the journal in the outcome, as tandem replay reads it.
	Journal bool
	// Effect, if not nil, is asked what becomes of each effect that a worker's process
	// is about to have on Azure: a write to the storage account, to Resource Manager
	// or to the topic. Effects on units are not asked for: each lies between two
	// writes to the storage account.
	Effect func(worker, what string) Fate
	// Paced, if not nil, is called when the story with the program begins and
	// holds it to real time until the function that it returns is called.
	Paced func() (end func())
}

// pairName is the pair of every story (scenarios/pair.yaml).
const pairName = "edge-weu"

// With plays a story with the program in it. In a bubble of virtual time it
// takes a moment, outside it takes as long as the story says.
func With(ctx context.Context, sc lab.Scenario, o Options) (Outcome, lab.Outage, []string, error) {
	start := time.Now()
	account := store.NewEmbedded(store.EmbeddedOptions{})
	journal := account.Store(store.HandleOptions{})
	container := vault.NewMemory()
	world, err := lab.New(sc, lab.Options{Seed: o.Seed, Tell: o.Tell, Believed: func() string {
		snap, err := journal.Load(context.WithoutCancel(ctx), pairName)
		if err != nil {
			return err.Error()
		}
		return snap.Record.Situation.String()
	}, Job: func() string {
		snap, err := journal.Load(context.WithoutCancel(ctx), pairName)
		switch {
		case err != nil:
			return err.Error()
		case snap.Record.Job == nil:
			return "none"
		}
		return snap.Record.Job.State.String()
	}, Backups: func() map[string]int {
		return keptBackups(context.WithoutCancel(ctx), container.Vault(nil))
	}, Topology: topologyOf(ctx, journal), Alarmed: func() string {
		snap, err := journal.Load(context.WithoutCancel(ctx), pairName)
		switch {
		case err != nil:
			return err.Error()
		case snap.Record.Alarm == nil:
			return "none"
		}
		return snap.Record.Alarm.Row
	}})
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	defer world.Close()
	functions, err := tandem.FunctionApp()
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	s, err := newStage(world, account, o.Seed)
	if err == nil {
		s.effect, s.vault = o.Effect, container
		err = s.attach(functions)
	}
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	if o.Expose != nil {
		if err := o.Expose(ctx, world); err != nil {
			return Outcome{}, lab.Outage{}, nil, err
		}
	}
	if err := errors.Join(run(ctx, world, s.operator, journal), s.linger()); err != nil {
		return Outcome{}, lab.Outage{}, nil, fmt.Errorf("play story %s: %w", sc.Name, err)
	}
	entries, err := journal.Journal(context.WithoutCancel(ctx), pairName, 1000, "")
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, fmt.Errorf("play story %s: %w", sc.Name, err)
	}
	out := Outcome{Scenario: sc.Name, Seed: o.Seed, Writes: world.Writes()}
	if out.Decisions, err = decisions(entries, start); err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	if o.Journal {
		out.Entries = entries
	}
	out.Timeline = timeline(world.Transcript())
	out.Failures = world.Failures()
	return out, world.Outage(), published(world), nil
}

// keptBackups counts the backups of the story's pair, by the role of the unit.
func keptBackups(ctx context.Context, v *vault.Vault) map[string]int {
	all, err := v.List(ctx, pairName)
	if err != nil {
		return map[string]int{err.Error(): 1}
	}
	counts := map[string]int{}
	for _, b := range all {
		counts[b.Unit.String()]++
	}
	return counts
}

// run plays the story while the operator is at work.
func run(ctx context.Context, world *lab.World, op *operator, kept *store.Store) error {
	atWork, goHome := context.WithCancel(ctx)
	defer goHome()
	operated, proofs := make(chan error, 1), make(chan error, 1)
	go func() { operated <- op.run(atWork) }()
	go func() {
		if world.Scenario.Unproved {
			proofs <- nil
			return
		}
		proofs <- prove(atWork, world, kept)
	}()
	err := world.Run(ctx)
	goHome()
	return errors.Join(err, <-operated, <-proofs)
}

// Without plays a story with the load balancer alone.
func Without(ctx context.Context, sc lab.Scenario, seed uint64) (lab.Outage, error) {
	world, err := lab.New(sc, lab.Options{Seed: seed})
	if err != nil {
		return lab.Outage{}, err
	}
	defer world.Close()
	if err := world.Run(ctx); err != nil {
		return lab.Outage{}, fmt.Errorf("play story %s without Tandem: %w", sc.Name, err)
	}
	return world.Outage(), nil
}

// Play plays a story twice, with the load balancer alone and then with the
// program, and judges what came of it.
func Play(ctx context.Context, sc lab.Scenario, o Options) (Outcome, error) {
	without, err := Without(ctx, sc, o.Seed)
	if err != nil {
		return Outcome{}, err
	}
	if o.Paced != nil {
		defer o.Paced()()
	}
	out, with, events, err := With(ctx, sc, o)
	if err != nil {
		return out, err
	}
	judge(sc, &out, with, without, events)
	out.OutageSeconds = Compared{Tandem: with.Total.Seconds(), LoadBalancerOnly: without.Total.Seconds()}
	out.SplitSeconds = Compared{Tandem: with.Split.Seconds(), LoadBalancerOnly: without.Split.Seconds()}
	out.Passed = len(out.Failures) == 0
	return out, nil
}

func azure() cloud.Configuration {
	return cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: "https://" + lab.ManagerName, Audience: "https://" + lab.ManagerName},
	}}
}

// credential is the program's identity in the simulated Azure. The production
// path, the managed identity endpoint, is used where the real binary runs.
type credential struct{}

func (credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	now := time.Now()
	expires := now.Add(24 * time.Hour)
	return azcore.AccessToken{Token: arm.UnsignedToken(lab.Tandem, "https://"+lab.ManagerName, "", now, expires), ExpiresOn: expires}, nil
}

// secrets are the units' API keys by name.
type secrets map[string]string

func (s secrets) Credentials(_ context.Context, name string) (loadmaster.Credentials, error) {
	key, ok := s[name]
	if !ok {
		return loadmaster.Credentials{}, fmt.Errorf("secret %q is not known", name)
	}
	return loadmaster.Credentials{APIKey: key}, nil
}

func timeline(lines []lab.Line) []Moment {
	out := make([]Moment, len(lines))
	for i, l := range lines {
		out[i] = Moment{At: l.Clock(), Source: l.Source, Event: l.Event}
	}
	return out
}

func published(world *lab.World) []string {
	var out []string
	for _, e := range world.Published() {
		out = append(out, e.Type)
	}
	return out
}
