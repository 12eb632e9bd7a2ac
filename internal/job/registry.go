package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
)

// DrainMost is the longest that connections of a unit may be given to end.
const DrainMost = time.Hour

// Registry holds the procedures of this release.
type Registry struct {
	procedures []Procedure
}

// NewRegistry checks the procedures, so that nothing is found wrong with them in
// the middle of a job.
func NewRegistry(procedures ...Procedure) (*Registry, error) {
	var errs []error
	for n, p := range procedures {
		if slices.ContainsFunc(procedures[:n], func(o Procedure) bool { return o.Kind == p.Kind }) {
			errs = append(errs, fmt.Errorf("procedure %q: there are two of this kind", p.Kind))
		}
		errs = append(errs, p.check())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register procedures: %w", err)
	}
	return &Registry{procedures: slices.Clone(procedures)}, nil
}

func (p *Procedure) check() error {
	if p.Kind == "" || p.Title == "" || len(p.Steps) == 0 {
		return fmt.Errorf("procedure %q: it needs a kind, a title and steps", p.Kind)
	}
	for n, s := range p.Steps {
		switch {
		case s.Name == "" || s.Title == "" || s.Undoes == "":
			return fmt.Errorf("procedure %s, step %d %q: it needs a name, a title, and what undoing means", p.Kind, n, s.Name)
		case s.Within <= 0 || s.Do == nil:
			return fmt.Errorf("procedure %s, step %s: it needs a time and something to do", p.Kind, s.Name)
		case slices.ContainsFunc(p.Steps[:n], func(o Step) bool { return o.Name == s.Name }):
			return fmt.Errorf("procedure %s, step %s: there are two of this name", p.Kind, s.Name)
		}
	}
	return nil
}

// Kinds lists the kinds of jobs of this release, in the order of their
// registration.
func (r *Registry) Kinds() []string {
	kinds := make([]string, len(r.procedures))
	for n := range r.procedures {
		kinds[n] = r.procedures[n].Kind
	}
	return kinds
}

// Procedure describes one kind of job, for help and documents. Its steps are the
// registry's own and must not be changed.
func (r *Registry) Procedure(kind string) (Procedure, bool) {
	p := r.procedure(kind)
	if p == nil {
		return Procedure{}, false
	}
	return *p, true
}

func (r *Registry) procedure(kind string) *Procedure {
	for n := range r.procedures {
		if r.procedures[n].Kind == kind {
			return &r.procedures[n]
		}
	}
	return nil
}

// Request is what somebody wants of a job.
type Request struct {
	ID     string // <pair>-<epoch>-<seq> of what accepts it
	Kind   string
	By     string // a person, or pair.OwnerTandem
	Reason string
	At     time.Time
	// Unit, Force and Drain are as in pair.Job; a zero Drain takes the procedure's.
	Unit  pair.Role
	Force bool
	Drain time.Duration
	// GEO and Sync are as in pair.Job.
	GEO  *pair.GEOWish
	Sync *pair.JobSync
}

// New makes the job that a request asks for, ready to be stored in the pair's
// record. Everything wrong with the request is refused at once, with
// pair.ErrInvalid.
func (r *Registry) New(req Request, def *pair.Definition) (pair.Job, error) {
	p := r.procedure(req.Kind)
	if p == nil {
		return pair.Job{}, fmt.Errorf("job kind %q: expected one of %s: %w", req.Kind, strings.Join(r.Kinds(), ", "), pair.ErrInvalid)
	}
	if err := p.refuses(req); err != nil {
		return pair.Job{}, fmt.Errorf("job %s of pair %s: %w", req.Kind, def.Name, err)
	}
	if req.Drain == 0 {
		req.Drain = p.Drain
	}
	j := pair.Job{
		V: pair.Version, MinReader: pair.MinReader, ID: req.ID, Kind: req.Kind, By: req.By, Reason: req.Reason, At: req.At,
		Unit: req.Unit, Force: req.Force, Drain: pair.Duration(req.Drain), State: pair.JobRuns, GEO: req.GEO, Sync: req.Sync,
		Steps: make([]pair.JobStep, len(p.Steps)),
	}
	for n, s := range p.Steps {
		within := s.Within
		if s.Drains {
			within += req.Drain
		}
		j.Steps[n] = pair.JobStep{Name: s.Name, Within: pair.Duration(within)}
	}
	return j, nil
}

// Begin is New for a job of which the record says only what it is for.
func (r *Registry) Begin(asked pair.Job, def *pair.Definition) (pair.Job, error) {
	return r.New(Request{
		ID: asked.ID, Kind: asked.Kind, By: asked.By, Reason: asked.Reason, At: asked.At, Unit: asked.Unit, Force: asked.Force,
		Drain: time.Duration(asked.Drain), GEO: asked.GEO, Sync: asked.Sync,
	}, def)
}

func (p *Procedure) refuses(req Request) error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format+": %w", append(args, pair.ErrInvalid)...))
		}
	}
	refuse(req.ID == "", "id %q: expected the id of what accepts the job", req.ID)
	refuse(req.By == "", "by %q: expected who wants the job", req.By)
	refuse(req.At.IsZero(), "at %v: expected a time", req.At)
	refuse(p.TakesGEO && req.GEO == nil, "kind %s: expected another one, because this one is begun by a topology: tandem geo apply", req.Kind)
	refuse(req.Unit > pair.Second, "unit %s: expected first or second", req.Unit)
	refuse(p.NeedsUnit && req.Unit == pair.RoleUnknown, "unit: expected first or second, the unit that the job is about")
	refuse(known(req.Unit) && !p.TakesUnit, "unit %s: expected none, the job is about both", req.Unit)
	refuse(req.Force && !p.TakesForce, "force %t: expected no force, nothing in this job can be forced", req.Force)
	refuse(req.Drain != 0 && !p.TakesDrain, "drain %v: expected none, nothing is drained", req.Drain)
	refuse(req.Sync != nil && !p.TakesSync, "sync: expected none, no settings are carried over")
	refuse(req.Drain < 0 || req.Drain > DrainMost, "drain %v: expected a time from 0s to %v", req.Drain, DrainMost)
	return errors.Join(errs...)
}
