package vault

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"tandem/internal/pair"
)

// Memory is a container in the memory of this process, for the lab and for trying
// out. Nothing of it outlives the process.
type Memory struct {
	mu    sync.Mutex // guards blobs; never held across a wait
	blobs map[string]kept
}

type kept struct {
	meta map[string]string
	file []byte
}

// NewMemory returns an empty container.
func NewMemory() *Memory { return &Memory{blobs: map[string]kept{}} }

// Gate is asked before each request of one that holds the container. Its error is
// returned, and nothing is done.
type Gate func(ctx context.Context, write bool) error

// Vault returns a handle on the container. A nil gate lets everything through.
func (m *Memory) Vault(gate Gate) *Vault {
	if gate == nil {
		gate = func(context.Context, bool) error { return nil }
	}
	return &Vault{memory{m, gate}}
}

// memory is one handle.
type memory struct {
	*Memory
	gate Gate
}

func (m memory) begin(ctx context.Context, write bool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
	}
	return m.gate(ctx, write)
}

func (m memory) put(ctx context.Context, name string, meta map[string]string, file []byte) error {
	if err := m.begin(ctx, true); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, has := m.blobs[name]; has {
		return pair.ErrExists
	}
	m.blobs[name] = kept{maps.Clone(meta), bytes.Clone(file)}
	return nil
}

func (m memory) list(ctx context.Context, prefix string) ([]blob, error) {
	if err := m.begin(ctx, false); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []blob
	for _, name := range slices.Sorted(maps.Keys(m.blobs)) {
		if k := m.blobs[name]; strings.HasPrefix(name, prefix) {
			found = append(found, blob{name, int64(len(k.file)), maps.Clone(k.meta)})
		}
	}
	return found, nil
}

func (m memory) get(ctx context.Context, name string, most int64) (blob, []byte, error) {
	if err := m.begin(ctx, false); err != nil {
		return blob{}, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k, has := m.blobs[name]
	if !has {
		return blob{}, nil, pair.ErrNotFound
	}
	return blob{name, int64(len(k.file)), maps.Clone(k.meta)}, bytes.Clone(k.file[:min(int64(len(k.file)), most+1)]), nil
}

func (m memory) remove(ctx context.Context, name string) error {
	if err := m.begin(ctx, true); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, name)
	return nil
}
