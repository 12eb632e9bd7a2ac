package app

import (
	"context"

	"tandem/internal/job"
	"tandem/internal/job/configure"
	"tandem/internal/job/geo"
	"tandem/internal/job/replace"
	"tandem/internal/job/switchover"
	"tandem/internal/job/sync"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

// newJobs are the procedures of this release.
func newJobs() (*job.Registry, error) {
	return job.NewRegistry(configure.Procedure(), switchover.Procedure(), replace.Procedure(), sync.Procedure(), geo.Procedure())
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
