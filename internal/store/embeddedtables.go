package store

import "context"

// TableGate stands around each request of one worker to a table, while its
// queues work on. It calls do where the request reaches the account, before or
// after a wait, or not at all. The caller gets the gate's error: for a write
// that was done, or may have been, it must be pair.ErrUnknownOutcome.
type TableGate func(ctx context.Context, write bool, do func() error) error

// gatedTables is a handle with a gate around its tables.
type gatedTables struct {
	backend
	gate TableGate
}

func (g gatedTables) get(ctx context.Context, table, part, key string) (e entity, err error) {
	err = g.gate(ctx, false, func() (err error) {
		e, err = g.backend.get(ctx, table, part, key)
		return err
	})
	return e, err
}

func (g gatedTables) list(ctx context.Context, table string, q query) (rows []entity, next cursor, err error) {
	err = g.gate(ctx, false, func() (err error) {
		rows, next, err = g.backend.list(ctx, table, q)
		return err
	})
	return rows, next, err
}

func (g gatedTables) apply(ctx context.Context, table, part string, ops []op) (etags []string, err error) {
	err = g.gate(ctx, true, func() (err error) {
		etags, err = g.backend.apply(ctx, table, part, ops)
		return err
	})
	return etags, err
}
