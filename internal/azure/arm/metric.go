package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"tandem/internal/pair"
)

// metricsVersion is the version of the API for metrics that armmonitor v0.11.0
// speaks (azure.md 3).
const metricsVersion = "2021-05-01"

// Availability returns what the load balancer's own probes made of each backend
// since a time: the metric DipAvailability (azure.md 3), the mean of its minutes
// from 0 to 100. It shows admin states in place of what the probe found
// (azure.md 1.5). A backend without a measurement, as one that is off, is
// missing. The metric comes minutes late, so it confirms and never triggers.
//
// Errors are those of Read; since must be in the past, and within a day.
func (c *Client) Availability(ctx context.Context, lb pair.ResourceID, since time.Time) (map[netip.Addr]float64, error) {
	what := "read the availability of the backends of load balancer " + oneLine(lb.Name(), 80)
	r, err := parseResource(string(lb))
	now := c.now()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case r.name != balancerKind:
		return nil, fmt.Errorf("%s: %w: a %s has none", what, pair.ErrInvalid, r.noun)
	case !since.Before(now) || now.Sub(since) > 24*time.Hour:
		return nil, fmt.Errorf("%s: %w: since %s", what, pair.ErrInvalid, since.UTC().Format(time.RFC3339))
	}
	query := url.Values{
		"metricnamespace": {balancerKind}, "metricnames": {"DipAvailability"}, "aggregation": {"Average"}, "interval": {"PT1M"},
		"timespan": {since.UTC().Format(time.RFC3339) + "/" + now.UTC().Format(time.RFC3339)},
		"$filter":  {"BackendIPAddress eq '*'"},
		"top":      {"1000"}, // series; else only ten come
	}
	k := c.reading("%s", what)
	raw, _, err := c.read(ctx, k, c.url(r.id, balancerKind, "/providers/Microsoft.Insights/metrics", metricsVersion)+"&"+query.Encode())
	if err != nil {
		return nil, err
	}
	var a metricsAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, k.failed(err)
	}
	return a.means(), nil
}

// metricsAnswer is the part of an answer about metrics that is used.
type metricsAnswer struct {
	Value []struct {
		Series []metricSeries `json:"timeseries"`
	} `json:"value"`
}

// metricSeries is the measurements of one backend. Those that have not come yet
// have no average.
type metricSeries struct {
	Dimensions []struct {
		Value string `json:"value"`
	} `json:"metadatavalues"`
	Data []struct {
		Average *float64 `json:"average"`
	} `json:"data"`
}

// means returns the mean of each backend. Only the dimension that was asked for
// is in the answer.
func (a metricsAnswer) means() map[netip.Addr]float64 {
	out := map[netip.Addr]float64{}
	for _, metric := range a.Value {
		for _, s := range metric.Series {
			if len(s.Dimensions) != 1 {
				continue
			}
			addr, err := netip.ParseAddr(s.Dimensions[0].Value)
			mean, known := s.mean()
			if err == nil && known {
				out[addr.Unmap()] = mean
			}
		}
	}
	return out
}

func (s metricSeries) mean() (float64, bool) {
	sum, n := 0.0, 0
	for _, d := range s.Data {
		if d.Average != nil {
			sum += min(max(*d.Average, 0), 100)
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}
