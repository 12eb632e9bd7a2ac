package app

import (
	"context"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/configure"
	"tandem/internal/job/switchover"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

// newJobs are the procedures of this release.
func newJobs() (jobs, error) {
	r, err := job.NewRegistry(configure.Procedure(), switchover.Procedure())
	return jobs{r}, err
}

// jobs puts what the record says of a job into the words of the step engine.
type jobs struct{ *job.Registry }

// Begin gives a job its steps.
func (j jobs) Begin(asked pair.Job, d *pair.Definition) (pair.Job, error) {
	return j.New(job.Request{
		ID: asked.ID, Kind: asked.Kind, By: asked.By, Reason: asked.Reason, At: asked.At, Unit: asked.Unit, Force: asked.Force,
		Drain: time.Duration(asked.Drain),
	}, d)
}

// works is what jobs ask of an appliance, in the words of the pair file.
type works struct{ *loadmaster.Client }

// Configure writes a unit's HA mode and parameters. The partner is always the other
// unit (loadmaster.md 2.1).
func (w works) Configure(ctx context.Context, d *pair.Definition, r pair.Role, prefer pair.Preference) (pair.Report, error) {
	return w.Client.Configure(ctx, d.Units.Of(r), r, loadmaster.HAParameters{
		Partner: d.Units.Of(r.Other()).Address.String(), CheckPort: d.HA.CheckPort, Preferred: prefer, AllInterfaces: d.HA.CheckAllInterfaces,
	})
}
