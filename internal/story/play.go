package story

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem"
	"tandem/internal/api"
	"tandem/internal/app"
	"tandem/internal/azure/events"
	"tandem/internal/lab"
	"tandem/internal/lab/arm"
	"tandem/internal/lab/host"
	"tandem/internal/loadmaster"
	"tandem/internal/store"
)

// Options are how a story is played.
type Options struct {
	Seed uint64
	// Tell gets every line of the transcript as it happens; it may be nil.
	Tell func(lab.Line)
	// Expose, if not nil, is called with the world before the story begins, to
	// open it to programs outside. It must not be used in virtual time.
	Expose func(context.Context, *lab.World) error
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
	world, err := lab.New(sc, lab.Options{Seed: o.Seed, Tell: o.Tell, Believed: func() string {
		snap, err := journal.Load(context.WithoutCancel(ctx), pairName)
		if err != nil {
			return err.Error()
		}
		return snap.Record.Situation.String()
	}})
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	defer world.Close()
	functions, err := tandem.FunctionApp()
	if err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	if err := attach(world, functions, account, o.Seed); err != nil {
		return Outcome{}, lab.Outage{}, nil, err
	}
	if o.Expose != nil {
		if err := o.Expose(ctx, world); err != nil {
			return Outcome{}, lab.Outage{}, nil, err
		}
	}
	applied := make(chan error, 1)
	go func() { applied <- apply(ctx, world) }()
	err = world.Run(ctx)
	if err := errors.Join(err, <-applied); err != nil {
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
	out.Timeline = timeline(world.Transcript())
	out.Failures = world.Failures()
	return out, world.Outage(), published(world), nil
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

// attach starts the function app with the program in it.
func attach(world *lab.World, functions fs.FS, account *store.Embedded, seed uint64) error {
	client, err := azureClient(world)
	if err != nil {
		return err
	}
	return world.Attach(lab.Program{
		App:      functions,
		Queues:   queues{account},
		Settings: map[string]string{"AzureWebJobsStorage": "UseDevelopmentStorage=true"},
		Launcher: &launcher{worker: world.Worker(), build: func(env host.Environment, id string) (*app.App, error) {
			return app.New(app.Options{
				Store: account.Store(store.HandleOptions{}), Secrets: secrets(world.Secrets()), Credential: credential{}, Cloud: azure(),
				Client: client, DialContext: world.Worker().DialContext, Topic: "https://" + lab.TopicName + "/api/events", TopicKey: lab.TopicKey,
				Own: events.Own{AppID: lab.Tandem.AppID, ObjectID: lab.Tandem.ObjectID}, Peers: []netip.Prefix{netip.PrefixFrom(world.Worker().Addr(), 32)},
				Worker: id, Seed: seed, Log: slog.New(teller{tell: func(event string) { world.Log("tandem", event) }}),
			})
		}},
	})
}

// apply defines the pair as an operator does, as soon as the app answers.
func apply(ctx context.Context, world *lab.World) error {
	c, err := api.NewClient("http://"+lab.AppName, "", &http.Client{Transport: &http.Transport{DialContext: world.Worker().DialContext, DisableKeepAlives: true}})
	if err != nil {
		return err
	}
	time.Sleep(time.Second + 7*time.Microsecond) // the host is ready by then
	for range 50 {
		if _, err = c.Apply(ctx, pairName, world.PairFile(), false); err == nil {
			world.Log("operator", "applies the pair file of "+pairName)
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil // the story was stopped
		}
	}
	return fmt.Errorf("apply the story's pair file: %w", err)
}

func azureClient(world *lab.World) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(world.Authority()) {
		return nil, errors.New("the lab's authority is no PEM certificate")
	}
	return &http.Client{Transport: &http.Transport{
		DialContext: world.Worker().DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: false, DisableKeepAlives: true,
	}}, nil
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
