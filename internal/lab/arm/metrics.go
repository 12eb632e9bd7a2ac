package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tandem/internal/lab/dataplane"
)

// metricsType is the type of the metrics of every resource.
const metricsType = "Microsoft.Insights/metrics"

const (
	dipAvailability = "DipAvailability"
	byBackend       = "BackendIPAddress eq '*'"
	// mostMinutes bounds the points of a series.
	mostMinutes = 1440
)

// metrics answers with the metric DipAvailability of a load balancer, minute
// by minute, for all backends together or one by one (azure.md 3). A minute
// without a measurement, the latest ones among them, has a time and no value.
// m.mu is held.
func (m *Manager) metrics(c *call, r *resource) (answer, error) {
	q := c.url.Query()
	start, end, isSpan := strings.Cut(q.Get("timespan"), "/")
	from, errFrom := time.Parse(time.RFC3339, start)
	until, errUntil := time.Parse(time.RFC3339, end)
	filter := q.Get("$filter")
	var wrong string
	switch {
	case c.method != http.MethodGet:
		return answer{}, notAllowed(c)
	case !r.kind.is("loadBalancers") || !strings.EqualFold(q.Get("metricnames"), dipAvailability):
		wrong = "Failed to find metric configuration for provider: Microsoft.Network, resource Type: " + r.kind.name + ", metric: " + q.Get("metricnames") + "."
	case !isSpan || errFrom != nil || errUntil != nil || !from.Before(until) || until.Sub(from) > mostMinutes*time.Minute:
		wrong = "Invalid timespan: " + q.Get("timespan") + "."
	case q.Get("interval") != "" && q.Get("interval") != "PT1M":
		wrong = "The lab measures at an interval of PT1M only."
	case filter != "" && !strings.EqualFold(filter, byBackend):
		wrong = "The lab knows the filter " + byBackend + " only."
	}
	if wrong != "" {
		return answer{}, &failure{status: http.StatusBadRequest, code: "BadRequest", message: wrong}
	}
	from = from.Truncate(time.Minute)
	arrived := time.Now().Add(-m.opts.MetricsDelay).Truncate(time.Minute) // the first minute that has not ended or not arrived
	if until.Before(arrived) {
		arrived = until
	}
	known := m.path.Availability(r.id, from, arrived)
	series := []any{}
	for _, s := range seriesOf(known, filter != "") {
		series = append(series, s.document(from, until))
	}
	return ok(document{
		"cost": whole(0), "timespan": q.Get("timespan"), "interval": "PT1M", "namespace": r.kind.typ(), "resourceregion": text(r.doc, "location"),
		"value": []any{document{
			"id": r.id + "/providers/" + metricsType + "/" + dipAvailability, "type": metricsType, "unit": "Count",
			"name":       document{"value": dipAvailability, "localizedValue": "Health Probe Status"},
			"timeseries": series, "errorCode": "Success",
		}},
	}), nil
}

// series is the values of one backend, or the mean of all.
type series struct {
	backend netip.Addr // the zero value for all
	values  map[time.Time][]float64
}

// seriesOf sorts measurements, which come by backend, into series.
func seriesOf(known []dataplane.Availability, each bool) []series {
	var all []series
	for _, k := range known {
		var backend netip.Addr
		if each {
			backend = k.Address
		}
		if n := len(all); n == 0 || all[n-1].backend != backend {
			all = append(all, series{backend, map[time.Time][]float64{}})
		}
		s := all[len(all)-1]
		at := k.Minute.UTC()
		s.values[at] = append(s.values[at], k.Percent)
	}
	return all
}

func (s series) document(from, until time.Time) document {
	data := []any{}
	for at := from.UTC(); at.Before(until); at = at.Add(time.Minute) {
		point := document{"timeStamp": at.Format(time.RFC3339)}
		if values := s.values[at]; len(values) > 0 {
			sum := 0.0
			for _, v := range values {
				sum += v
			}
			point["average"] = sum / float64(len(values))
		}
		data = append(data, point)
	}
	d := document{"metadatavalues": []any{}, "data": data}
	if s.backend.IsValid() {
		d["metadatavalues"] = []any{document{
			"name": document{"value": "backendipaddress", "localizedValue": "backendipaddress"}, "value": s.backend.String(),
		}}
	}
	return d
}
