// Command mutate measures whether the tests of a package would notice a
// mistake: `make mutate`. It makes one mistake at a time, a mutant, and runs
// the tests. Every mutant that no test notices is a sentence that nobody
// checks.
//
// The mistakes are those of somebody who got a rule the wrong way round: a
// condition negated, a row of the decision table missing, and, counted apart, a
// comparison off by its boundary. Nothing in the tree is written.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

const usage = `Usage: mutate [flags] [DIRECTORY]

Makes one mistake at a time in the package of the directory, internal/pair by
default, and counts how many of them make a test fail. The exit code is 0 where
at least -least percent of the negated conditions and dropped rows do.

Examples:
  mutate                                 everything that decides about a pair
  mutate -also internal/control          whose tests may notice it as well
  mutate -n 60 -seed 1                   a sample, for a first impression
  mutate -only facts.go -o json          one file, for a program
  mutate -only act.go -only guard.go internal/control
                                         those files of another package

Flags:
`

// options are what a person asks for.
type options struct {
	dir     string
	also    []string
	only    []string // empty is every file
	skip    string
	sample  int
	seed    uint64
	least   float64
	jobs    int
	timeout time.Duration
	output  string
}

var (
	// errUsage marks a command line that makes no sense.
	errUsage       = errors.New("see mutate --help")
	errInterrupted = errors.New("interrupted")
)

// run is the command. It returns the exit code: 1 where too few mutants were
// killed or something failed, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var r *report
	if err == nil {
		r, err = measure(ctx, o, stderr)
	}
	if ctx.Err() != nil {
		err = errInterrupted
	}
	if r != nil && o.output == "json" {
		err = errors.Join(err, r.writeJSON(stdout))
	} else if r != nil {
		err = errors.Join(err, r.write(stdout))
	}
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "mutate:", err)
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "mutate:", err)
		return 1
	case !r.Reached:
		return 1
	default:
		return 0
	}
}

func parse(args []string, help io.Writer) (options, error) {
	o := options{dir: "internal/pair"}
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("also", "`DIRECTORY` of a package whose tests are run on what survives; may be repeated", func(dir string) error {
		o.also = append(o.also, dir)
		return nil
	})
	f.Func("only", "make mistakes in this `FILE` of the package only; may be repeated", func(file string) error {
		o.only = append(o.only, filepath.Base(file))
		return nil
	})
	f.StringVar(&o.skip, "skip", "", "tests that do not count, a `REGEXP` as for go test -skip")
	f.IntVar(&o.sample, "n", 0, "try a random sample of `N` mutants; 0 tries all")
	f.Uint64Var(&o.seed, "seed", 1, "chooses the sample")
	f.Float64Var(&o.least, "least", 90, "`PERCENT` of conditions and rows that must be killed")
	f.IntVar(&o.jobs, "j", runtime.NumCPU(), "try `N` mutants at once")
	f.DurationVar(&o.timeout, "timeout", 0, "a mutant whose tests take longer counts as killed; 0 gives them ten seconds and five times what they take otherwise")
	f.StringVar(&o.output, "o", "text", "`FORM` of the report, text or json")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, usage)
			f.SetOutput(help)
			f.PrintDefaults()
			return o, err
		}
		return o, fmt.Errorf("%w; %w", err, errUsage)
	}
	if f.NArg() > 0 {
		o.dir = f.Arg(0)
	}
	return o, o.check(f.NArg())
}

func (o options) check(args int) error {
	_, badSkip := regexp.Compile(o.skip)
	switch {
	case args > 1:
		return fmt.Errorf("%d directories, expected one; %w", args, errUsage)
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("-o %s: expected text or json; %w", o.output, errUsage)
	case o.sample < 0, o.jobs < 1, o.timeout < 0, o.least < 0, o.least > 100:
		return fmt.Errorf("-n, -j, -timeout or -least is out of range; %w", errUsage)
	case badSkip != nil:
		return fmt.Errorf("-skip: %w; %w", badSkip, errUsage)
	default:
		return nil
	}
}

// measure makes the mutants and tries them. Where that ends early it returns
// what is known so far together with the error.
func measure(ctx context.Context, o options, stderr io.Writer) (r *report, err error) {
	start := time.Now()
	t := &trials{skip: o.skip, jobs: o.jobs, timeout: o.timeout}
	for _, dir := range append([]string{o.dir}, o.also...) {
		s, err := findSuite(ctx, dir)
		if err != nil {
			return nil, err
		}
		t.suites = append(t.suites, s)
	}
	if t.before, err = t.written(); err != nil {
		return nil, err
	}
	ms, err := mutantsOf(t.suites[0], o)
	if err != nil {
		return nil, err
	}
	if t.tmp, err = os.MkdirTemp("", "mutate-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.tmp)) }()
	if err := t.prove(ctx); err != nil {
		return nil, err
	}
	verdicts := make([]verdict, len(ms))
	p := newProgress(stderr, len(ms))
	err = t.all(ctx, ms, func(r result) {
		verdicts[r.at], ms[r.at].Why = r.verdict, r.why
		p.add(r.verdict)
	})
	p.end()
	r = &report{
		Package: t.suites[0].ImportPath, Also: o.also, Sample: o.sample, Seed: o.seed,
		Incomplete: err != nil, Least: o.least, Seconds: time.Since(start).Round(100 * time.Millisecond).Seconds(),
	}
	r.count(ms, verdicts)
	return r, err
}

// mutantsOf returns the mutants to try, in the order of files and lines.
func mutantsOf(s *suite, o options) ([]mutant, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for _, name := range o.only {
		if !slices.Contains(s.GoFiles, name) {
			return nil, fmt.Errorf("%s has no file %s", o.dir, name)
		}
	}
	var all []mutant
	for _, name := range s.GoFiles {
		if len(o.only) > 0 && !slices.Contains(o.only, name) {
			continue
		}
		src := &source{path: filepath.Join(s.Dir, name)}
		if src.text, err = os.ReadFile(src.path); err != nil {
			return nil, err
		}
		shown, err := filepath.Rel(here, src.path)
		if err != nil {
			return nil, err
		}
		found, err := mutants(shown, src)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing to negate or to drop in %s", strings.Join(append([]string{o.dir}, o.only...), " "))
	}
	if o.sample > 0 && o.sample < len(all) {
		all = sample(all, o.sample, o.seed)
	}
	return all, nil
}

// sample chooses n of the mutants, the same ones for the same seed, and keeps
// their order.
func sample(all []mutant, n int, seed uint64) []mutant {
	chosen := rand.New(rand.NewPCG(seed, 0)).Perm(len(all))[:n]
	slices.Sort(chosen)
	out := make([]mutant, n)
	for i, at := range chosen {
		out[i] = all[at]
	}
	return out
}
