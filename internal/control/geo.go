package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"tandem/internal/pair"
)

// GEO reads and writes what a unit holds of GEO.
type GEO interface {
	GEO(ctx context.Context, u pair.Unit) (pair.GEOSeen, error)
	// SetGEO reads first, writes what differs, and returns what the unit holds then.
	SetGEO(ctx context.Context, u pair.Unit, w pair.GEOWrite) (pair.GEOSeen, error)
}

// Memberships knows the GEO topologies that pairs are members of.
type Memberships interface {
	// PairMoved hears that another unit of a pair serves than before.
	PairMoved(ctx context.Context, name string)
	// Others are the addresses by which a pair's units know the other members of its
	// topology, none where it is in none.
	Others(ctx context.Context, name string) ([]netip.Addr, error)
}

// askGEO asks a unit what it holds of GEO, for a job.
func (p *pass) askGEO(ctx context.Context, r pair.Role) {
	u := p.in.Observation.Unit(r)
	if p.GEO == nil || u.API.Answer != pair.APIAnswered {
		return
	}
	seen, err := p.GEO.GEO(ctx, p.snap.Definition.Units.Of(r))
	if err != nil {
		p.Log.WarnContext(ctx, "a unit did not tell what it holds of GEO", "pair", p.name, "unit", r.String(), "error", err.Error())
		return
	}
	seen.At = p.now()
	u.GEO = &seen
}

// writeGEO writes GEO lists or clusters of a unit. The adapter reads first and reads
// back, so that a write of which nothing is known is simply made again.
func (p *pass) writeGEO(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.GEO == nil || i.GEO == nil {
		return 0, false, fmt.Errorf("write GEO lists of %s: %w: %w", i.Unit, pair.ErrRefused, errNeverAgain)
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	_, err := p.GEO.SetGEO(ctx, p.snap.Definition.Units.Of(i.Unit), *i.GEO)
	return 0, err == nil, err
}

// geoAllowed wants the unit to be the one that serves: what another one is told, the
// settings sync overwrites.
func (p *pass) geoAllowed(ctx context.Context, i *pair.Intent) error {
	if _, err := p.jobOf(i); err != nil {
		return err
	}
	if r := p.snap.Record.Units[i.Unit.Index()].Refusal; r.In(p.now()) {
		return fmt.Errorf("%s refused our credentials, which rest until %s: %w", i.Unit, r.Until.Format("15:04:05"), errGuard)
	}
	a := p.answers(ctx)
	if here, there := a[i.Unit.Index()], a[i.Unit.Other().Index()]; here != pair.CheckServing || there == pair.CheckServing {
		return fmt.Errorf("%s answered %s and %s %s just before the write: %w", i.Unit, here, i.Unit.Other(), there, errGuard)
	}
	return nil
}

// submitted remembers on which unit the job has submitted the partners, and in which
// life of it.
func submitted(p *pass, rec *pair.Record, i pair.Intent) {
	if i.GEO == nil || !i.GEO.Submit || rec.Job == nil || rec.Job.ID != i.Job || rec.Job.GEO == nil {
		return
	}
	rec.Job = rec.Job.Clone()
	rec.Job.GEO.Submitted = pair.GEOSubmitted{
		Unit: i.Unit, BootedAt: p.in.Observation.Unit(i.Unit).API.Report.BootedAt, At: p.now(),
	}
}

// tellTopologies says that another unit serves by this decision than before.
func (p *pass) tellTopologies(ctx context.Context) {
	was, is := p.in.Record.LastActive, p.d.Record.LastActive
	if p.Topologies != nil && was != pair.RoleUnknown && is != was {
		p.Topologies.PairMoved(ctx, p.name)
	}
}
