package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"tandem/internal/geo"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// Topologies brings GEO topologies about; internal/control has it.
type Topologies interface {
	// Apply makes a topology the one that shall be. What cannot be applied is
	// pair.ErrInvalid.
	Apply(ctx context.Context, next geo.Topology, by, reason string) (geo.Record, error)
	Cancel(ctx context.Context, name, by, reason string) (geo.Record, error)
	// Compare looks at the units and changes nothing.
	Compare(ctx context.Context, next geo.Topology) (geo.Comparison, error)
	Record(ctx context.Context, name string) (geo.Record, error)
	Records(ctx context.Context) ([]geo.Record, error)
}

// GeoAsk is the body of a request about a GEO topology.
type GeoAsk struct {
	By     string `json:"by,omitempty" jsonschema_description:"Who wants it. Needed unless Entra ID tells that."`
	Reason string `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night."`
	File   string `json:"file,omitempty" jsonschema_description:"The topology file, YAML or JSON. Left out where the topology is meant that was applied last."`
}

// GeoTopology is what is known of a GEO topology.
type GeoTopology struct {
	V    int    `json:"v"`
	Name string `json:"name"`
	// At is the server's time.
	At       time.Time    `json:"at"`
	DryRun   bool         `json:"dryRun,omitempty"`
	Topology geo.Topology `json:"topology"`
	Members  []GeoMember  `json:"members"`
	Run      geo.Run      `json:"run"`
	Alarms   []geo.Alarm  `json:"alarms"`
	// Steps are what is left to do; only a dry run has them.
	Steps []geo.Step `json:"steps,omitempty"`
}

// GeoMember is one member of a topology and how it stands.
type GeoMember struct {
	Name  string       `json:"name"`
	Kind  string       `json:"kind"`
	Pair  string       `json:"pair,omitempty"`
	Units []netip.Addr `json:"units"`
	// Owes is what no unit shows: submit, restart.
	Owes   string `json:"owes,omitempty"`
	Job    string `json:"job,omitempty"`
	Failed string `json:"failed,omitempty"`
	Note   string `json:"note,omitempty"`
}

// GeoTopologies is the answer to a question for all topologies.
type GeoTopologies struct {
	V          int           `json:"v"`
	Topologies []GeoTopology `json:"topologies"`
}

// GeoVerified is a topology beside what its units hold now.
type GeoVerified struct {
	V       int         `json:"v"`
	Name    string      `json:"name"`
	Members []geo.Lists `json:"members"`
	// Steps are what is left to do.
	Steps  []geo.Step  `json:"steps"`
	Alarms []geo.Alarm `json:"alarms"`
}

// geoOf is the form of a record.
func (s *server) geoOf(rec geo.Record) GeoTopology {
	out := GeoTopology{V: Version, Name: rec.Topology.Name, At: s.now(), Topology: rec.Topology, Members: []GeoMember{}, Run: rec.Run, Alarms: s.standing(rec.Alarms)}
	for _, m := range rec.Topology.Members {
		form := GeoMember{Name: m.Name, Kind: m.Kind().String(), Pair: m.Pair, Units: m.Units()}
		for _, is := range rec.Members {
			if is.Name != m.Name {
				continue
			}
			form.Job, form.Failed, form.Note = is.Job, is.Failed, is.Note
			if is.Owes != geo.OwesNothing {
				form.Owes = is.Owes.String()
			}
		}
		out.Members = append(out.Members, form)
	}
	return out
}

// standing are the alarms of which somebody should know by now.
func (s *server) standing(all []geo.Alarm) []geo.Alarm {
	out := []geo.Alarm{}
	for _, a := range all {
		if a.Stands(s.now()) {
			out = append(out, a)
		}
	}
	return out
}

func (s *server) topologies() (Topologies, error) {
	if s.Topologies == nil {
		return nil, fmt.Errorf("GEO topologies: this server has none: %w", pair.ErrNotFound)
	}
	return s.Topologies, nil
}

func (s *server) listGeo(r *http.Request) (any, error) {
	all, err := s.topologies()
	if err != nil {
		return nil, err
	}
	records, err := all.Records(r.Context())
	if err != nil {
		return nil, err
	}
	out := GeoTopologies{V: Version, Topologies: []GeoTopology{}}
	for _, rec := range records {
		out.Topologies = append(out.Topologies, s.geoOf(rec))
	}
	return out, nil
}

func (s *server) showGeo(r *http.Request) (any, error) {
	all, err := s.topologies()
	if err != nil {
		return nil, err
	}
	rec, err := all.Record(r.Context(), r.PathValue("topology"))
	if err != nil {
		return nil, err
	}
	return s.geoOf(rec), nil
}

// applyGeo takes a topology and begins to bring it about. With dryRun=true it only
// says what would be done.
func (s *server) applyGeo(r *http.Request) (any, error) {
	all, err := s.topologies()
	if err != nil {
		return nil, err
	}
	ask, err := s.readGeoAsk(r, "apply a topology")
	if err != nil {
		return nil, err
	}
	name := r.PathValue("topology")
	next, err := s.readTopology(r.Context(), name, ask.File)
	switch {
	case err != nil:
		return nil, err
	case next.Name != name:
		return nil, fmt.Errorf("topology %q in the file, %q in the path: expected the same: %w", next.Name, name, pair.ErrInvalid)
	}
	if r.URL.Query().Get("dryRun") == "true" {
		is, err := all.Compare(r.Context(), next)
		if err != nil {
			return nil, err
		}
		out := s.geoOf(geo.Record{Topology: next, Alarms: is.Alarms})
		out.DryRun, out.Steps = true, append([]geo.Step{}, is.Steps...)
		return out, nil
	}
	rec, err := all.Apply(r.Context(), next, ask.By, ask.Reason)
	if err != nil {
		return nil, err
	}
	return s.geoOf(rec), nil
}

func (s *server) cancelGeo(r *http.Request) (any, error) {
	all, err := s.topologies()
	if err != nil {
		return nil, err
	}
	ask, err := s.readGeoAsk(r, "cancel a topology's run")
	if err != nil {
		return nil, err
	}
	rec, err := all.Cancel(r.Context(), r.PathValue("topology"), ask.By, ask.Reason)
	if err != nil {
		return nil, err
	}
	return s.geoOf(rec), nil
}

// readGeoAsk reads who wants something of a topology.
func (s *server) readGeoAsk(r *http.Request, what string) (GeoAsk, error) {
	ask, err := readLongBody[GeoAsk](r, bodyMax, what, "by, reason, file")
	if err != nil {
		return ask, err
	}
	if ask.By, err = byOf(r, ask.By); err != nil {
		return ask, err
	}
	if err := checkSpeaker(&ask.By, &ask.Reason); err != nil {
		return ask, fmt.Errorf("%s: %w: %w", what, err, pair.ErrInvalid)
	}
	return ask, nil
}

// verifyGeo compares a topology as it was applied, and verifyGeoFile one of a file.
func (s *server) verifyGeo(r *http.Request) (any, error) {
	return s.verified(r.Context(), r.PathValue("topology"), "")
}

func (s *server) verifyGeoFile(r *http.Request) (any, error) {
	ask, err := readLongBody[GeoAsk](r, bodyMax, "verify a topology", "by, reason, file")
	if err != nil {
		return nil, err
	}
	if ask.File == "" {
		return nil, fmt.Errorf("verify a topology: file: expected a topology file: %w", pair.ErrInvalid)
	}
	return s.verified(r.Context(), "", ask.File)
}

func (s *server) verified(ctx context.Context, name, file string) (any, error) {
	all, err := s.topologies()
	if err != nil {
		return nil, err
	}
	next, err := s.readTopology(ctx, name, file)
	if err != nil {
		return nil, err
	}
	is, err := all.Compare(ctx, next)
	if err != nil {
		return nil, err
	}
	return GeoVerified{
		V: Version, Name: next.Name, Members: is.Wanted.Members, Steps: append([]geo.Step{}, is.Steps...), Alarms: s.standing(is.Alarms),
	}, nil
}

// readTopology reads a topology file, with the pairs that it names as they are defined
// here; where there is no file, the topology that was applied last.
func (s *server) readTopology(ctx context.Context, name, file string) (geo.Topology, error) {
	if file == "" {
		rec, err := s.Topologies.Record(ctx, name)
		return rec.Topology, err
	}
	read := func(pairs []pair.Definition, all bool) (geo.Topology, error) {
		t, err := manifest.ReadTopology("topology file", strings.NewReader(file), pairs, all)
		if err != nil {
			err = fmt.Errorf("%w: %w", pair.ErrInvalid, err)
		}
		return t, err
	}
	t, err := read(nil, false)
	if err != nil {
		return t, err
	}
	var pairs []pair.Definition
	for _, m := range t.Members {
		if m.Pair == "" {
			continue
		}
		snap, err := s.Store.Load(ctx, m.Pair)
		if errors.Is(err, pair.ErrNotFound) {
			return t, fmt.Errorf("member %s: pair %s is not defined on this server; tandem apply -f its file first: %w", m.Name, m.Pair, pair.ErrInvalid)
		}
		if err != nil {
			return t, err
		}
		pairs = append(pairs, snap.Definition)
	}
	return read(pairs, true)
}

// ApplyGeo applies a GEO topology; without a file in a, the one that was applied last.
func (c *Client) ApplyGeo(ctx context.Context, name string, a GeoAsk, dryRun bool) (GeoTopology, error) {
	path := "/api/geo/" + url.PathEscape(name)
	if dryRun {
		path += "?dryRun=true"
	}
	var out GeoTopology
	err := c.aboutGeo(ctx, http.MethodPut, path, a, &out)
	return out, err
}

// CancelGeo ends the run of a topology.
func (c *Client) CancelGeo(ctx context.Context, name string, a GeoAsk) (GeoTopology, error) {
	var out GeoTopology
	err := c.aboutGeo(ctx, http.MethodPost, "/api/geo/"+url.PathEscape(name)+"/cancel", a, &out)
	return out, err
}

// VerifyGeo compares a topology with what its units hold now: one of a file where a has
// one, or else the one of this name that was applied last.
func (c *Client) VerifyGeo(ctx context.Context, name string, a GeoAsk) (GeoVerified, error) {
	var out GeoVerified
	if a.File != "" {
		err := c.aboutGeo(ctx, http.MethodPost, "/api/geo/verify", a, &out)
		return out, err
	}
	err := c.call(ctx, http.MethodGet, "/api/geo/"+url.PathEscape(name)+"/verify", nil, &out)
	return out, err
}

func (c *Client) aboutGeo(ctx context.Context, method, path string, a GeoAsk, out any) error {
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, pair.ErrInvalid, err)
	}
	return c.call(ctx, method, path, body, out)
}

// Geo shows one GEO topology.
func (c *Client) Geo(ctx context.Context, name string) (GeoTopology, error) {
	var out GeoTopology
	err := c.call(ctx, http.MethodGet, "/api/geo/"+url.PathEscape(name), nil, &out)
	return out, err
}

// Geos lists all GEO topologies.
func (c *Client) Geos(ctx context.Context) ([]GeoTopology, error) {
	var out GeoTopologies
	err := c.call(ctx, http.MethodGet, "/api/geo", nil, &out)
	return out.Topologies, err
}
