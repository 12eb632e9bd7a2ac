package story

import (
	"bytes"
	"context"
	"time"

	"tandem/internal/lab"
	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// prove remembers of the story's pairs that the lever was proved when they were
// set up, as mode auto wants it. Stories about the proof itself say unproved.
func prove(ctx context.Context, world *lab.World, kept *store.Store) error {
	for _, f := range world.PairFiles() {
		ds, err := manifest.Read(f.Name, bytes.NewReader(f.YAML))
		if err != nil {
			return err
		}
		for !proved(ctx, kept, ds[0]) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50*time.Millisecond + 3*time.Microsecond):
			}
		}
	}
	return nil
}

// proved makes one attempt, which fails while the pair is not defined yet or is
// being changed by somebody else.
func proved(ctx context.Context, kept *store.Store, d pair.Definition) bool {
	snap, err := kept.Load(ctx, d.Name)
	if err != nil {
		return false
	}
	ch := pair.Change{Record: snap.Record}
	for _, lb := range d.LoadBalancers {
		for _, pool := range lb.Pools {
			ch.Record.Proofs = append(ch.Record.Proofs, pair.LeverProof{
				LoadBalancer: lb.Name, Pool: pool, At: time.Now().UTC().Truncate(time.Millisecond), By: lab.Person.Name, Back: true,
			})
		}
	}
	_, err = kept.Commit(ctx, snap, ch)
	return err == nil
}
