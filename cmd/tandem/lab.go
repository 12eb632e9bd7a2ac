package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/lab"
	"tandem/internal/lab/bubble"
	"tandem/internal/nearest"
	"tandem/internal/story"
)

// demo is the story that the lab plays when none is named: the one in which
// Tandem does something that the load balancer cannot.
const demo = "partner-link-cut"

// labFlags are the flags of the lab.
type labFlags struct {
	list, questions bool
	journal         bool
	scenario        string
	speed           float64
	seed            uint64
	options         map[string]string
	proxy           string
	bind            bool
}

func newLab(c *console) *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Play a failure in a simulated world and measure the outage",
		Long: `The lab plays a story in a simulated world: two LoadMasters, the Azure load
balancer, Resource Manager, Event Grid and the Functions host, with this very
program in the middle. A client keeps sending requests, so every story ends with
a measured outage, with Tandem and with the load balancer alone.

Time in it is virtual: a story is told at --speed times real time, and the same
seed tells the same story. With -o json it is not held back at all.

With --proxy or --bind the world is opened to other programs, and time is real.
Exit code 1 means that an expectation of the story was not met.`,
		Example: `  tandem lab
  tandem lab --list
  tandem lab --scenario first-crashes --speed 60
  tandem lab --scenario partner-link-cut --option second-write=refused -o json
  tandem lab -o json --journal > story.json
  tandem lab --scenario healthy-hour --proxy 127.0.0.1:3128
  curl --proxy 127.0.0.1:3128 http://10.0.0.4:8444/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.lab(cmd, f) },
	}
	cmd.Flags().BoolVar(&f.list, "list", false, "list the stories")
	cmd.Flags().BoolVar(&f.questions, "list-options", false, "list the behaviours that no document settles, and their answers")
	cmd.Flags().BoolVar(&f.journal, "journal", false, "with -o json: the pair's journal too, for tandem replay")
	cmd.Flags().StringVar(&f.scenario, "scenario", demo, "story to play")
	cmd.Flags().Float64Var(&f.speed, "speed", 30, "how many times faster than real time; 0 does not hold it back")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "seed of everything random")
	cmd.Flags().StringToStringVar(&f.options, "option", nil, "answer to an open question, name=answer, repeatable")
	cmd.Flags().StringVar(&f.proxy, "proxy", "", "open the world through an HTTP proxy on this address; time is real")
	cmd.Flags().BoolVar(&f.bind, "bind", false, "give every simulated address a loopback address of its own; time is real")
	addOutput(cmd)
	_ = cmd.RegisterFlagCompletionFunc("scenario", completeStories) // the flag was just added
	return cmd
}

func completeStories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := lab.Scenarios()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name+"\t"+s.Summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (c *console) lab(cmd *cobra.Command, f labFlags) error {
	switch {
	case f.list:
		return c.listStories(cmd)
	case f.questions:
		return c.listQuestions(cmd)
	case f.speed < 0:
		return badInput("--speed %v: expected 0 or more", f.speed)
	}
	sc, err := findStory(f.scenario)
	if err != nil {
		return err
	}
	sc = sc.With(f.options)
	if err := lab.CheckOptions(sc.Options); err != nil {
		return badInput("--option: %w", err)
	}
	if f.proxy != "" || f.bind {
		if output(cmd) != "text" || cmd.Flags().Changed("speed") {
			return badInput("--proxy and --bind play in real time and as text: leave --output and --speed out")
		}
		return c.exposed(cmd.Context(), sc, f)
	}
	out, err := c.play(cmd.Context(), sc, f, output(cmd) == "text")
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, out)
	} else {
		c.conclude(out)
	}
	if err == nil && !out.Passed {
		return &exitError{code: exitFailed}
	}
	return err
}

// findStory finds a story, or says which one was probably meant.
func findStory(name string) (lab.Scenario, error) {
	sc, err := lab.Find(name)
	if err == nil {
		return sc, nil
	}
	all, broken := lab.Scenarios()
	if broken != nil {
		return sc, broken
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	meant := ""
	if near, found := nearest.Word(name, names); found {
		meant = " (did you mean " + near + "?)"
	}
	return sc, badInput("--scenario: %w%s; tandem lab --list shows them all", err, meant)
}

func (c *console) listStories(cmd *cobra.Command) error {
	all, err := lab.Scenarios()
	if err != nil {
		return err
	}
	type one struct {
		Name    string `json:"name"`
		Summary string `json:"summary"`
	}
	list := make([]one, len(all))
	rows := make([][]string, len(all))
	for i, s := range all {
		list[i] = one{s.Name, s.Summary}
		rows[i] = []string{s.Name, s.Summary}
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, map[string]any{"scenarios": list})
	}
	return table(c.out, rows)
}

func (c *console) listQuestions(cmd *cobra.Command) error {
	type one struct {
		Name    string   `json:"name"`
		About   string   `json:"about"`
		Answers []string `json:"answers"` // the first is the usual one
	}
	list := make([]one, len(lab.OpenQuestions))
	rows := make([][]string, len(lab.OpenQuestions))
	for i, q := range lab.OpenQuestions {
		list[i] = one{q.Name, q.About, q.Answers}
		rows[i] = []string{q.Name, strings.Join(q.Answers, "|"), q.About}
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, map[string]any{"options": list})
	}
	return table(c.out, rows)
}

// play plays a story in virtual time, held to --speed where it is told as it
// happens. Ctrl-C ends it between two moments of the story.
func (c *console) play(ctx context.Context, sc lab.Scenario, f labFlags, aloud bool) (out story.Outcome, err error) {
	o := story.Options{Seed: f.seed, Journal: f.journal}
	var clock *bubble.Clock
	if aloud {
		fmt.Fprintf(c.out, "%s (seed %d)\n%s\n\n", c.paint(bold, sc.Name), f.seed, sc.Summary)
		o.Tell = c.tell
		if f.speed > 0 {
			clock = bubble.NewClock()
			defer clock.Stop()
		}
	}
	bubble.Run(func() {
		// The context of a bubble must be made inside it; the signal comes from
		// outside and is looked at from time to time.
		inside, cancel := context.WithCancel(context.Background())
		defer cancel()
		stop := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() { watch(ctx, cancel, stop) })
		if clock != nil {
			o.Paced = func() func() {
				ended := make(chan struct{})
				wait.Go(func() { clock.Pace(f.speed, ended) })
				return func() { close(ended) }
			}
		}
		out, err = story.Play(inside, sc, o)
		close(stop)
		wait.Wait()
	})
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	return out, err
}

// watch carries a signal from outside into the bubble.
func watch(outside context.Context, cancel context.CancelFunc, stop <-chan struct{}) {
	timer := time.NewTicker(time.Second)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
			if outside.Err() != nil {
				cancel()
				return
			}
		}
	}
}

// sourceColors tell the sources apart on a terminal.
var sourceColors = map[string]string{
	"story": bold, "tandem": green, "client": yellow, "load balancer": blue, "azure": dim, "event grid": dim, "operator": dim, "host": dim,
}

// tell prints one line of the transcript.
func (c *console) tell(l lab.Line) {
	at, source := l.Clock(), l.Source
	for line := range strings.SplitSeq(l.Event, "\n") {
		if color, ok := sourceColors[l.Source]; ok {
			line = c.paint(color, line)
		}
		fmt.Fprintf(c.out, "%-12s  %-13s  %s\n", at, source, line)
		at, source = "", "" // the lines that follow belong to the first
	}
}

// conclude prints what came of a story.
func (c *console) conclude(o story.Outcome) {
	fmt.Fprintf(c.out, "\n%-34s %12s %20s\n", "measured by the client", "with Tandem", "load balancer alone")
	fmt.Fprintf(c.out, "%-34s %11.1fs %19.1fs\n", "outage (no answer)", o.OutageSeconds.Tandem, o.OutageSeconds.LoadBalancerOnly)
	fmt.Fprintf(c.out, "%-34s %11.1fs %19.1fs\n", "split (both units answered)", o.SplitSeconds.Tandem, o.SplitSeconds.LoadBalancerOnly)
	if wrong := o.WrongAnswerSeconds; wrong != nil {
		fmt.Fprintf(c.out, "%-34s %11.1fs %19.1fs\n", "wrong or missing GEO answers", wrong.Tandem, wrong.LoadBalancerOnly)
	}
	fmt.Fprintf(c.out, "%d decisions stored, %d writes to Resource Manager\n", len(o.Decisions), o.Writes)
	for _, f := range o.Failures {
		fmt.Fprintln(c.out, c.paint(red, "not as expected: "+f))
	}
	if o.Passed {
		fmt.Fprintln(c.out, c.paint(green, "as expected"))
	}
}

// exposed plays a story in real time with its world open to other programs,
// and leaves the world open when the story has ended, until Ctrl-C.
func (c *console) exposed(ctx context.Context, sc lab.Scenario, f labFlags) error {
	sc.For = 1000 * time.Hour
	fmt.Fprintf(c.out, "%s (seed %d), in real time until Ctrl-C\n%s\n\n", c.paint(bold, sc.Name), f.seed, sc.Summary)
	var wait sync.WaitGroup
	defer wait.Wait()
	_, _, _, err := story.With(ctx, sc, story.Options{Seed: f.seed, Tell: c.tell, Expose: func(ctx context.Context, w *lab.World) error {
		if f.bind {
			bindings, err := w.Network().Bind(ctx, func(network, address string) (net.Listener, error) {
				return (&net.ListenConfig{}).Listen(ctx, network, address)
			})
			if err != nil {
				return err
			}
			rows := [][]string{{"HOST", "SIMULATED", "LOOPBACK"}}
			for _, b := range bindings {
				rows = append(rows, []string{b.Name, b.Simulated.String(), b.Loopback.String()})
			}
			if err := table(c.out, rows); err != nil {
				return err
			}
			fmt.Fprintln(c.out, "the operator API is on the function app's port 80: tandem status --server http://LOOPBACK")
		}
		if f.proxy != "" {
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.proxy)
			if err != nil {
				return badInput("--proxy: %w", err)
			}
			fmt.Fprintf(c.out, "proxy on %s: curl --proxy %s http://10.0.0.4:8444/\n", l.Addr(), l.Addr())
			fmt.Fprintf(c.out, "the operator API: HTTP_PROXY=http://%s tandem status --server http://%s\n", l.Addr(), lab.AppName)
			wait.Go(func() {
				if err := w.Network().ServeProxy(ctx, l, w.Worker()); err != nil {
					fmt.Fprintln(c.err, "tandem: the proxy stopped: "+err.Error())
				}
			})
		}
		return nil
	}})
	if errors.Is(err, context.Canceled) || ctx.Err() != nil {
		return nil
	}
	return err
}
