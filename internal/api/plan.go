package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// Planned is the answer to a question for a plan: what would have to be written
// so that the load balancers, the security group and the interfaces are as the
// pair file says; or why that cannot be.
type Planned struct {
	V        int                `json:"v"`
	Name     string             `json:"name"`
	Plan     balancer.Plan      `json:"plan"`
	Refusals []balancer.Refusal `json:"refusals"`
}

// Planner compares a pair with what there is in Azure. It only reads.
type Planner interface {
	Plan(ctx context.Context, d pair.Definition) (balancer.Plan, []balancer.Refusal, error)
}

// planFile plans for the pair file in the body, which need not be defined.
func (s *server) planFile(r *http.Request) (any, error) {
	d, err := readDefinition(r)
	if err != nil {
		return nil, err
	}
	return s.planned(r.Context(), d)
}

// planPair plans for a pair as it is defined.
func (s *server) planPair(r *http.Request) (any, error) {
	snap, err := s.Store.Load(r.Context(), r.PathValue("pair"))
	if err != nil {
		return nil, err
	}
	return s.planned(r.Context(), snap.Definition)
}

func (s *server) planned(ctx context.Context, d pair.Definition) (any, error) {
	if s.Planner == nil {
		return nil, fmt.Errorf("plan pair %s: this server reads nothing of Azure: %w", d.Name, pair.ErrNotFound)
	}
	plan, refusals, err := s.Planner.Plan(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("plan pair %s: %w", d.Name, err)
	}
	out := Planned{V: Version, Name: d.Name, Plan: plan, Refusals: refusals}
	if out.Refusals == nil {
		out.Refusals = []balancer.Refusal{}
	}
	if out.Plan.Steps == nil {
		out.Plan.Steps = []balancer.Step{}
	}
	return out, nil
}

// apply wishes for exactly one plan to be carried out, in any mode.
func apply(t *told, rec *pair.Record) (bool, error) {
	if t.stance == pair.StancePaused || t.stance == pair.StanceMaintenance {
		return false, unfitf("nothing is written now: the stance is %s, resume first", t.stance)
	}
	if w := rec.Wish; w != nil && w.Plan == t.ask.Plan && t.now.Sub(w.At) < pair.WishFor {
		return false, nil
	}
	rec.Wish = &pair.Wish{Plan: t.ask.Plan, By: t.ask.By, At: t.now}
	t.ask.Until = t.now.Add(pair.WishFor)
	return true, nil
}

// PlanFile asks what would have to be written for a pair file.
func (c *Client) PlanFile(ctx context.Context, file []byte) (Planned, error) {
	var out Planned
	err := c.call(ctx, http.MethodPost, "/api/plan", file, &out)
	return out, err
}

// PlanPair asks what would have to be written for a pair as it is defined.
func (c *Client) PlanPair(ctx context.Context, name string) (Planned, error) {
	var out Planned
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/plan", nil, &out)
	return out, err
}
