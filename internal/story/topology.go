package story

import (
	"context"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/store"
)

// topologyName is the GEO topology of every story that has one.
const topologyName = "global"

// topologyOf tells how far the run of the story's topology is, and of which kinds the
// alarms are that stand in it.
func topologyOf(ctx context.Context, kept *store.Store) func() (state string, alarms []string) {
	return func() (string, []string) {
		snap, err := kept.Topology(context.WithoutCancel(ctx), topologyName)
		if err != nil {
			return err.Error(), nil
		}
		var alarms []string
		for _, a := range snap.Record.Alarms {
			if a.Stands(time.Now()) {
				alarms = append(alarms, a.Kind)
			}
		}
		return snap.Record.Run.State.String(), alarms
	}
}

// topology does the operator's verbs about the topology.
func (o *operator) topology(ctx context.Context, st lab.Step) error {
	ask := api.GeoAsk{By: lab.Person.Name, Reason: "story"}
	if st.Do == "geo-cancel" {
		_, err := o.api.CancelGeo(ctx, topologyName, ask)
		return err
	}
	file, err := o.world.TopologyFile(st)
	if err != nil {
		return err
	}
	ask.File = string(file)
	_, err = o.api.ApplyGeo(ctx, topologyName, ask, false)
	return err
}
