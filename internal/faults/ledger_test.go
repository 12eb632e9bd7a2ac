package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// vault is what the world needs of a store: what the program needs of it, what
// the operator does with it, and what the checker reads. Both the embedded
// store and the ledger are one.
type vault interface {
	control.Store
	control.Outbox
	control.Index
	Define(ctx context.Context, d pair.Definition, posts func(epoch uint64) []pair.Post) (pair.Snapshot, error)
	SetStop(ctx context.Context, stop *pair.Pause, said pair.Entry) error
	Journal(ctx context.Context, name string, limit int, before string) ([]pair.Entry, error)
}

var (
	_ vault = (*store.Store)(nil)
	_ vault = (*ledger)(nil)
)

// letter is a message as a host takes it from a queue.
type letter struct {
	queue       string
	id, receipt string
	message     pair.Message
	visible     time.Time
	taken       int
}

// ledger keeps pairs as values, with the conditions of the real store and
// without its texts: most of the time of a light world would go into writing and
// reading JSON. TestLedgerIsLikeTheStore compares it with the embedded store.
//
// Slices are shared with whoever commits and loads, as nobody changes one that
// has been given away.
type ledger struct {
	mu       sync.Mutex // guards what follows
	pairs    map[string]pair.Snapshot
	graves   map[string]pair.Snapshot // of deleted pairs
	journals map[string]map[string]pair.Entry
	queue    []*letter
	stop     *pair.Pause
	versions uint64
}

func newLedger() *ledger {
	return &ledger{pairs: map[string]pair.Snapshot{}, graves: map[string]pair.Snapshot{}, journals: map[string]map[string]pair.Entry{}}
}

// next returns a new version. l.mu is held.
func (l *ledger) next() string {
	l.versions++
	return fmt.Sprint(l.versions)
}

// find returns a pair. l.mu is held.
func (l *ledger) find(ctx context.Context, name string) (pair.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return pair.Snapshot{}, fmt.Errorf("reach the ledger: %w: %w", pair.ErrUnreachable, err)
	}
	snap, ok := l.pairs[name]
	if !ok {
		return pair.Snapshot{}, pair.ErrNotFound
	}
	if !snap.Record.Readable() {
		snap.Version = ""
		return snap, pair.ErrTooNew
	}
	return snap, nil
}

func (l *ledger) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(ctx, name)
}

// overtaken is why the stored record is not the snapshot's any more.
func overtaken(now, was pair.Record) error {
	switch {
	case was.Lease.Owner != "" && now.Lease.Generation != was.Lease.Generation:
		return pair.ErrLeaseLost
	case now.Epoch > was.Epoch:
		return pair.ErrStaleEpoch
	default:
		return pair.ErrConflict
	}
}

func (l *ledger) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := snap.Definition.Name
	stored, err := l.find(ctx, name)
	switch {
	case err != nil:
		return pair.Snapshot{}, err
	case stored.Record.Lease.HeldByOther(owner, now, store.LeaseSkew):
		return pair.Snapshot{}, fmt.Errorf("held by %s: %w", stored.Record.Lease.Owner, pair.ErrLeaseLost)
	case stored.Version != snap.Version:
		return pair.Snapshot{}, overtaken(stored.Record, snap.Record)
	}
	stored.Record.Lease = pair.Lease{Owner: owner, Until: now.Add(ttl).UTC().Truncate(time.Millisecond), Generation: stored.Record.Lease.Generation + 1}
	stored.Version = l.next()
	l.pairs[name] = stored
	snap.Record, snap.Version = stored.Record, stored.Version
	return snap, nil
}

func (l *ledger) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := snap.Definition.Name
	stored, err := l.find(ctx, name)
	if err != nil {
		return pair.Snapshot{}, err
	}
	if now := stored.Record.Lease; now.Owner != owner || now.Generation != snap.Record.Lease.Generation {
		return pair.Snapshot{}, pair.ErrLeaseLost
	}
	same := stored.Version == snap.Version
	stored.Record.Lease = pair.Lease{Generation: stored.Record.Lease.Generation}
	stored.Version = l.next()
	l.pairs[name] = stored
	if snap.Record, snap.Version = stored.Record, stored.Version; !same {
		snap.Version = ""
	}
	return snap, nil
}

func (l *ledger) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, err := l.find(ctx, snap.Definition.Name)
	lease := stored.Record.Lease
	switch {
	case errors.Is(err, pair.ErrNotFound):
		return pair.ErrLeaseLost
	case err != nil:
		return err
	case lease.Owner != owner, lease.Generation != snap.Record.Lease.Generation, !now.Before(lease.Until):
		return pair.ErrLeaseLost
	case stored.Record.Epoch > snap.Record.Epoch:
		return pair.ErrStaleEpoch
	default:
		return nil
	}
}

func (l *ledger) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := snap.Definition.Name
	stored, err := l.find(ctx, name)
	switch {
	case err != nil:
		return pair.Snapshot{}, err
	case stored.Version != snap.Version:
		return pair.Snapshot{}, overtaken(stored.Record, snap.Record)
	case ch.Record.Epoch < stored.Record.Epoch:
		return pair.Snapshot{}, pair.ErrStaleEpoch
	}
	ch.Record.Lease = stored.Record.Lease
	stored.Record = ch.Record
	if ch.Definition != nil {
		stored.Definition = *ch.Definition
	}
	if stored.Intents, err = withIntents(stored.Intents, ch); err != nil {
		return pair.Snapshot{}, err
	}
	stored.Outbox = withPosts(stored.Outbox, ch.Outbox)
	stored.Version = l.next()
	l.pairs[name] = stored
	return stored, nil
}

func withIntents(was []pair.Intent, ch pair.Change) ([]pair.Intent, error) {
	if len(ch.PutIntents)+len(ch.DelIntents) == 0 {
		return was, nil
	}
	now := slices.Clone(was)
	for _, i := range ch.PutIntents {
		at := slices.IndexFunc(now, func(o pair.Intent) bool { return o.ID == i.ID })
		switch {
		case i.Epoch > ch.Record.Epoch:
			return nil, fmt.Errorf("intent %s in epoch %d: %w", i.ID, ch.Record.Epoch, pair.ErrInvalid)
		case at >= 0:
			now[at] = i
		case i.Epoch < ch.Record.Epoch:
			return nil, fmt.Errorf("intent %s in epoch %d: %w", i.ID, ch.Record.Epoch, pair.ErrStaleEpoch)
		default:
			now = append(now, i)
		}
	}
	now = slices.DeleteFunc(now, func(i pair.Intent) bool { return slices.Contains(ch.DelIntents, i.ID) })
	slices.SortFunc(now, func(a, b pair.Intent) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Clip(now), nil
}

func withPosts(was, add []pair.Post) []pair.Post {
	if len(add) == 0 {
		return was
	}
	now := slices.Clone(was)
	for _, p := range add {
		if !slices.ContainsFunc(now, func(o pair.Post) bool { return o.ID == p.ID }) {
			now = append(now, p)
		}
	}
	slices.SortFunc(now, func(a, b pair.Post) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Clip(now)
}

func (l *ledger) Delete(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, err := l.find(ctx, name)
	switch {
	case errors.Is(err, pair.ErrNotFound) && l.graves[name].Definition.Name != "":
		return nil
	case err != nil:
		return err
	case len(stored.Record.Admin)+len(stored.Intents)+len(stored.Outbox) > 0:
		return pair.ErrBusy
	}
	l.graves[name] = stored
	delete(l.pairs, name)
	return nil
}

func (l *ledger) Define(ctx context.Context, d pair.Definition, posts func(epoch uint64) []pair.Post) (pair.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, err := l.find(ctx, d.Name)
	switch {
	case errors.Is(err, pair.ErrNotFound):
		grave := l.graves[d.Name].Record
		stored = pair.Snapshot{Record: pair.Record{V: pair.Version, MinReader: pair.MinReader, Epoch: grave.Epoch + 1}}
		stored.Record.Lease.Generation = grave.Lease.Generation
	case err != nil:
		return pair.Snapshot{}, err
	case reflect.DeepEqual(stored.Definition, d):
		return stored, nil
	case !sameUnits(stored.Definition, d) && len(stored.Record.Admin)+len(stored.Intents) > 0:
		return pair.Snapshot{}, pair.ErrBusy
	default:
		stored.Record.Epoch++
	}
	stored.Definition, stored.Version = d, l.next()
	if posts != nil {
		stored.Outbox = withPosts(stored.Outbox, posts(stored.Record.Epoch))
	}
	l.pairs[d.Name] = stored
	return stored, nil
}

func sameUnits(a, b pair.Definition) bool {
	return a.VMID(pair.First) == b.VMID(pair.First) && a.VMID(pair.Second) == b.VMID(pair.Second) &&
		a.Units.First.Address == b.Units.First.Address && a.Units.Second.Address == b.Units.Second.Address
}

func (l *ledger) Stop(ctx context.Context) (*pair.Pause, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("reach the ledger: %w: %w", pair.ErrUnreachable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop, nil
}

func (l *ledger) SetStop(_ context.Context, stop *pair.Pause, _ pair.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = stop
	return nil
}

func (l *ledger) AppendJournal(ctx context.Context, name string, post pair.Post) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reach the ledger: %w: %w", pair.ErrUnreachable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journals[name] == nil {
		l.journals[name] = map[string]pair.Entry{}
	}
	if _, there := l.journals[name][post.ID]; !there {
		l.journals[name][post.ID] = pair.Entry{ID: post.ID, Kind: post.Type, At: post.At, Body: post.Body}
	}
	return nil
}

// Journal returns the whole journal, newest first; it knows no pages.
func (l *ledger) Journal(_ context.Context, name string, _ int, before string) ([]pair.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before != "" {
		return nil, nil
	}
	return slices.SortedFunc(maps.Values(l.journals[name]), func(a, b pair.Entry) int { return cmp.Compare(b.ID, a.ID) }), nil
}

func (l *ledger) Delivered(ctx context.Context, name string, ids []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, err := l.find(ctx, name)
	if errors.Is(err, pair.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	stored.Outbox = slices.DeleteFunc(slices.Clone(stored.Outbox), func(p pair.Post) bool { return slices.Contains(ids, p.ID) })
	l.pairs[name] = stored
	return nil
}

func (l *ledger) Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reach the ledger: %w: %w", pair.ErrUnreachable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := (max(delay, 0) + time.Second - 1).Truncate(time.Second)
	l.queue = append(l.queue, &letter{queue: queue, id: l.next(), message: m, visible: time.Now().Add(whole)})
	return nil
}

// queues are those of the program, in the order in which the host asks them.
var queues = []string{pair.QueuePairs, pair.QueueJobs}

// dequeue takes the visible messages of one queue after the other, the longest
// visible first, and hides them for a while.
func (l *ledger) dequeue(hide time.Duration) []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var visible []*letter
	for _, m := range l.queue {
		if !now.Before(m.visible) {
			visible = append(visible, m)
		}
	}
	slices.SortStableFunc(visible, func(a, b *letter) int {
		return cmp.Or(cmp.Compare(slices.Index(queues, a.queue), slices.Index(queues, b.queue)), a.visible.Compare(b.visible))
	})
	out := make([]letter, len(visible))
	for n, m := range visible {
		m.taken++
		m.receipt, m.visible = l.next(), now.Add(hide)
		out[n] = *m
	}
	return out
}

// drop removes a message that was taken, unless it was taken again meanwhile.
func (l *ledger) drop(m letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(o *letter) bool { return o.id == m.id && o.receipt == m.receipt })
}

func (l *ledger) Due(ctx context.Context, _ time.Time) iter.Seq2[string, error] {
	l.mu.Lock()
	names := slices.Sorted(maps.Keys(l.pairs))
	l.mu.Unlock()
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", fmt.Errorf("reach the ledger: %w: %w", pair.ErrUnreachable, err))
			return
		}
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (l *ledger) PairsOfVM(_ context.Context, vm pair.ResourceID) ([]string, error) {
	return l.those(func(d *pair.Definition) bool { return d.VMID(pair.First) == vm || d.VMID(pair.Second) == vm }), nil
}

func (l *ledger) PairsOfResource(_ context.Context, id pair.ResourceID) ([]string, error) {
	return l.those(func(d *pair.Definition) bool {
		return slices.ContainsFunc(d.LoadBalancers, func(lb pair.LoadBalancer) bool { return d.LoadBalancerID(lb.Name) == id })
	}), nil
}

func (l *ledger) those(are func(*pair.Definition) bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l.pairs)) {
		if d := l.pairs[name].Definition; are(&d) {
			out = append(out, name)
		}
	}
	return out
}

// mark has the record be for readers of a newer release.
func (l *ledger) mark(name string, minReader int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, ok := l.pairs[name]
	if !ok {
		return pair.ErrNotFound
	}
	stored.Record.MinReader, stored.Version = minReader, l.next()
	l.pairs[name] = stored
	return nil
}

// account is the storage account of a world: the store as each worker reaches
// it, and its queue as the host does.
type account interface {
	handle(now func() time.Time) vault
	dequeue(hide time.Duration) []letter
	drop(letter)
	mark(name string, minReader int) error
}

func (l *ledger) handle(func() time.Time) vault { return l }
