package arm

import (
	"context"
	"fmt"
	"net/http"

	"tandem/internal/pair"
)

// BeginStart starts a VM. It returns as soon as the platform has taken the
// request; Poll tells how it goes on. Whether the VM runs by now is not asked:
// starting a running one is an operation that changes nothing.
//
// last is asked right before the request is sent; its error is returned as it
// is, and nothing is sent then. A request is sent once, never again. Errors
// are of these kinds: ErrNotFound when the VM is not there; ErrBusy and
// ErrThrottled as the platform says, as *pair.Waiting where it says how long;
// ErrUnknownOutcome when the request went out and nothing is known of it;
// ErrConflict when the platform sees a conflict that it does not explain;
// ErrInvalid when the id is none of a VM.
//
// ErrRefused is what trying again at once cannot help: a missing right, a
// lock, a quota, a VM in a state that does not allow it. Where the region has
// no room for the VM it is a *pair.Waiting of ten minutes, because that passes
// by itself. The platform often says so only at the end, so Poll gives the same
// kinds, and ErrSuperseded when a later action of somebody preempted this one.
func (c *Client) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return c.act(ctx, vm, "start", last)
}

// BeginRestart restarts a VM, as BeginStart starts it. A VM that does not run
// is not restarted; the platform refuses that (ErrRefused).
func (c *Client) BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return c.act(ctx, vm, "restart", last)
}

func (c *Client) act(ctx context.Context, vm pair.ResourceID, verb string, last func(context.Context) error) (pair.Operation, error) {
	what := fmt.Sprintf("%s VM %s", verb, vm.Name())
	id, err := parseID(vm, machineKind)
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	k := c.writing(what)
	resp, err := c.send(ctx, k, request{method: http.MethodPost, address: c.url(id, machineKind, "/"+verb, computeVersion)})
	if err != nil {
		return pair.Operation{}, err
	}
	return follow[machineActed](c, k, resp)
}
