package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tandem/internal/api"
	"tandem/internal/balancer"
	"tandem/internal/geo"
	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write docs/openapi.json instead of comparing it")

func TestTheDescriptionIsFresh(t *testing.T) {
	want, err := api.Describe()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "openapi.json")
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale; run: go test ./internal/api -update", path)
	}
}

// described is the description as a reader of it has it.
type described struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Role        string `json:"x-tandem-role"`
		Parameters  []struct{ Name, In string }
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]struct {
			Ref     string `json:"$ref"`
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct {
		Schemas   map[string]any
		Responses map[string]any
	}
}

func description(t *testing.T) (described, *jsonschema.Compiler) {
	t.Helper()
	b, err := api.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return d, c
}

// judged says what is wrong with a JSON text by a schema of the description.
func judged(t *testing.T, c *jsonschema.Compiler, schema map[string]any, text []byte) error {
	t.Helper()
	ref, _ := schema["$ref"].(string)
	if ref == "" {
		return nil
	}
	s, err := c.Compile("openapi.json" + ref)
	if err != nil {
		t.Fatalf("%s: %v", ref, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// TestEveryRouteIsDescribedAndEveryDescribedPathAnswers asks every described
// request: the route of just that path answers, and its answer is as described.
func TestEveryRouteIsDescribedAndEveryDescribedPathAnswers(t *testing.T) {
	d, compiler := description(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %s", d.OpenAPI)
	}
	ids, count := map[string]bool{}, 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			count++
			t.Run(method+" "+path, func(t *testing.T) {
				if ids[op.OperationID] || op.OperationID == "" || op.Summary == "" || op.Role == "" {
					t.Errorf("id %q, summary %q, role %q", op.OperationID, op.Summary, op.Role)
				}
				ids[op.OperationID] = true
				s := wordsWith(t, api.Options{Jobs: procedures(t), Documents: kept(t), Planner: planner{}, Topologies: &topologies{records: map[string]geo.Record{"global": {Topology: geo.Topology{Name: "global", Members: []geo.Member{
					{Name: "sa1", Standalone: netip.MustParseAddr("10.0.9.9")},
				}}}}}, Keeper: keeps{{ID: pair.BackupID(pair.Second, moment), Unit: pair.Second}}}, nil)
				before(s, path)
				target := strings.NewReplacer("{pair}", "edge", "{topology}", "global", "{id}", pair.ID("edge", 1, 1)).Replace(path)
				body := ""
				if method != "get" {
					body = bodyOf(path)
				}
				if (op.RequestBody != nil) != (body != "") {
					t.Fatalf("the description of a body: %v", op.RequestBody)
				}
				r := httptest.NewRequestWithContext(t.Context(), strings.ToUpper(method), target, strings.NewReader(body))
				if _, pattern := s.handler.(*http.ServeMux).Handler(r); pattern != strings.ToUpper(method)+" "+path {
					t.Errorf("it is answered by the route %q", pattern)
				}
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Fatalf("status %d: %s", w.Code, w.Body)
				}
				if err := judged(t, compiler, op.Responses["200"].Content["application/json"].Schema, w.Body.Bytes()); err != nil {
					t.Errorf("the answer is not as described: %v\n%s", err, w.Body)
				}
				if op.RequestBody != nil {
					asked := op.RequestBody.Content["application/json"].Schema
					if strings.HasPrefix(body, "{") {
						if err := judged(t, compiler, asked, []byte(body)); err != nil {
							t.Errorf("the request is not as described: %v", err)
						}
					}
					if err := judged(t, compiler, asked, []byte(`{"nonsense":1}`)); err == nil {
						t.Error("a body with an unknown key is described as right")
					}
				}
				for status, answer := range op.Responses {
					if status != "200" && answer.Ref != "#/components/responses/Problem" {
						t.Errorf("status %s is %q", status, answer.Ref)
					}
				}
			})
		}
	}
	for _, r := range api.Routes() {
		op, found := d.Paths[r.Path][strings.ToLower(r.Method)]
		if !found || op.Role != r.Needs.String() {
			t.Errorf("%s %s is described %t, with role %q", r.Method, r.Path, found, op.Role)
		}
	}
	if n := len(api.Routes()); n != count || n < 20 {
		t.Errorf("%d routes and %d descriptions", n, count)
	}
}

// before brings the pair edge into a state in which a request is answered with 200.
func before(s *served, path string) {
	switch {
	case strings.HasSuffix(path, "/journal/{id}"):
		snap, err := s.store.Load(s.t.Context(), "edge")
		if err != nil {
			s.t.Fatal(err)
		}
		if err := s.store.AppendJournal(s.t.Context(), "edge", snap.Outbox[0]); err != nil {
			s.t.Fatal(err)
		}
	case strings.Contains(path, "/jobs/"), path == "/api/jobs", path == "/api/pairs":
		s.runs(func(j *pair.Job) { j.State = pair.JobAsks })
	case strings.HasSuffix(path, "/approve"):
		mode(s.t, s, pair.Recommend)
		s.remember(planned)
	case strings.Contains(path, "/settings"):
		_, r := conflicting()
		s.remember(func(rec *pair.Record) {
			rec.Settings = &pair.SettingsRecord{Comparison: "comparison-1", ComparedAt: moment, Found: r.Found(), Since: moment}
		})
	case strings.HasSuffix(path, "/ack"):
		s.runs(func(j *pair.Job) { j.State = pair.JobFailed })
	}
}

// bodyOf is a body that the request takes; empty for none.
func bodyOf(path string) string {
	switch {
	case path == "/api/pairs/{pair}" || path == "/api/plan":
		return file("edge")
	case path == "/api/geo/verify":
		return `{"file":"apiVersion: tandem/v1\nkind: GeoTopology\nname: global\nmembers: [ { pair: edge } ]\n"}`
	case strings.HasSuffix(path, "/{pair}/jobs"):
		return `{"kind":"switchover","by":"ann","reason":"r","unit":"second","drain":"5m"}`
	case strings.HasSuffix(path, "/restore"):
		return `{"by":"ann","reason":"r","unit":"second","backup":"` + pair.BackupID(pair.Second, moment) + `","types":["services"]}`
	case strings.HasSuffix(path, "/settings/choices"):
		return `{"by":"ann","reason":"r","unit":"second","id":"` + conflictID() + `"}`
	case strings.Contains(path, "/jobs/"):
		return `{"job":"` + pair.ID("edge", 7, 1) + `","by":"ann"}`
	case strings.HasSuffix(path, "/approve"), strings.HasSuffix(path, "/apply"):
		return `{"by":"ann","plan":"abc"}`
	case strings.HasSuffix(path, "/pause"), path == "/api/stop":
		return `{"by":"ann","reason":"r","for":"2h"}`
	default:
		return `{"by":"ann","reason":"r"}`
	}
}

// keeps are the backups of every pair.
type keeps []pair.Backup

func (k keeps) List(context.Context, string) ([]pair.Backup, error) { return k, nil }

// planner plans nothing.
type planner struct{}

func (planner) Plan(context.Context, pair.Definition) (balancer.Plan, []balancer.Refusal, error) {
	return balancer.Plan{}, nil, nil
}

func TestTheDescriptionIsServed(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	resp := s.ask("GET", "/api/openapi.json", "")
	var served bytes.Buffer
	if _, err := served.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	want, err := api.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(served.Bytes(), &a) != nil || json.Unmarshal(want, &b) != nil {
		t.Fatal("no JSON")
	}
	equal(t, a, b)
}

// TestEverySchemaHoldsTogether compiles all of them, so that no part refers to what
// is not there.
func TestEverySchemaHoldsTogether(t *testing.T) {
	d, c := description(t)
	for name := range d.Components.Schemas {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := api.Describe(); err != nil || bytes.Contains(b, []byte("$defs")) {
		t.Errorf("a schema refers to where there is nothing (%v)", err)
	}
}
