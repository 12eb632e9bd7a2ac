package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/geo"
)

// geoServer answers as an operator API with one topology, whose run is further with
// each look.
type geoServer struct {
	looks []api.GeoTopology // one after the other; the last one stays
	steps []geo.Step
	asked []string
}

func (s *geoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	line := r.Method + " " + r.URL.RequestURI()
	if r.Method != http.MethodGet {
		var ask api.GeoAsk
		_ = json.NewDecoder(r.Body).Decode(&ask)
		line += " by " + ask.By
		if ask.File != "" {
			line += " with a file"
		}
	}
	s.asked = append(s.asked, line)
	var answer any
	switch {
	case strings.HasSuffix(r.URL.Path, "/verify"):
		answer = api.GeoVerified{V: 1, Name: "global", Steps: s.steps}
	case r.URL.Path == "/api/geo":
		answer = api.GeoTopologies{V: 1, Topologies: s.looks[:1]}
	case r.URL.Query().Get("dryRun") == "true":
		answer = api.GeoTopology{V: 1, Name: "global", DryRun: true, Steps: s.steps}
	default:
		answer = s.looks[0]
		if r.Method == http.MethodGet && len(s.looks) > 1 {
			s.looks = s.looks[1:]
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func geoLook(state geo.RunState, why string, alarms []geo.Alarm, steps ...geo.RunStep) api.GeoTopology {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return api.GeoTopology{
		V: 1, Name: "global", At: at.Add(5 * time.Minute), Alarms: alarms,
		Members: []api.GeoMember{{Name: "sa1", Kind: "standalone", Units: []netip.Addr{netip.MustParseAddr("10.0.9.9")}, Owes: "submit"}},
		Run:     geo.Run{ID: "global-1", By: "ada", At: at, State: state, Why: why, Steps: steps},
	}
}

func TestATopologyOnTheCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "global.yaml")
	text := "apiVersion: tandem/v1\nkind: GeoTopology\nname: global\nmembers: [ { pair: edge-weu }, { name: sa1, standalone: 10.0.9.9, api: { secret: sa1-api } } ]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 15, 0, time.UTC)
	begun := geo.RunStep{At: at, Member: "edge-weu", What: "begin job"}
	listed := geo.RunStep{At: at.Add(15 * time.Second), Member: "sa1", What: "both lists"}
	alarm := []geo.Alarm{{Kind: geo.AlarmAway, Member: "sa1", Text: "no answer"}}
	step := []geo.Step{{N: 1, Member: "sa1", Unit: netip.MustParseAddr("10.0.9.9"), Action: geo.SetAccess, Values: []netip.Addr{netip.MustParseAddr("10.0.0.4")}}}
	tests := []struct {
		name  string
		args  []string
		looks []api.GeoTopology
		steps []geo.Step
		code  int
		out   []string
		asked string
	}{
		{
			"a run is followed to its end",
			[]string{"apply", "-f", file},
			[]api.GeoTopology{geoLook(geo.Runs, "", nil), geoLook(geo.Runs, "", nil, begun), geoLook(geo.RunDone, "", nil, begun, listed)},
			nil,
			exitDone,
			[]string{"15s     edge-weu: begin job\n30s     sa1: both lists\n", "the run of ada is done"},
			"PUT /api/geo/global by ann with a file",
		},
		{
			"a run that waits is something to look at",
			[]string{"apply", "global"},
			[]api.GeoTopology{geoLook(geo.Waits, "sa1 is away", alarm)},
			nil,
			exitFound,
			[]string{"sa1 is away\n", "is waits after", "away sa1: no answer\n"},
			"PUT /api/geo/global by ann",
		},
		{
			"a dry run says what would be done",
			[]string{"apply", "-f", file, "--dry-run"},
			[]api.GeoTopology{{}},
			step,
			exitDone,
			[]string{"nothing was changed", "  set-access on 10.0.9.9 of sa1: 10.0.0.4\n"},
			"PUT /api/geo/global?dryRun=true by ann with a file",
		},
		{"nobody waits", []string{"apply", "global", "--no-wait"}, []api.GeoTopology{geoLook(geo.Runs, "", nil)}, nil, exitDone, []string{"is being brought about, as ada asked"}, ""},
		{"nothing differs", []string{"verify", "global"}, nil, nil, exitDone, []string{"holds what it must"}, "GET /api/geo/global/verify"},
		{"something differs", []string{"verify", "-f", file}, nil, step, exitFound, []string{"left to do\n  set-access"}, "POST /api/geo/verify by  with a file"},
		{"all is well", []string{"status"}, []api.GeoTopology{geoLook(geo.RunDone, "", nil)}, nil, exitDone, []string{"global    1        done"}, "GET /api/geo"},
		{"an alarm stands", []string{"status", "global"}, []api.GeoTopology{geoLook(geo.RunDone, "", alarm)}, nil, exitFound, []string{"sa1     standalone  10.0.9.9  submit", "away sa1"}, "GET /api/geo/global"},
		{"a run is cancelled", []string{"cancel", "global"}, []api.GeoTopology{geoLook(geo.RunCancelled, "", nil)}, nil, exitDone, []string{"its run is cancelled"}, "POST /api/geo/global/cancel by ann"},
		{"neither a file nor a name", []string{"apply"}, nil, nil, exitBadInput, nil, ""},
		{"both", []string{"verify", "global", "-f", file}, nil, nil, exitBadInput, nil, ""},
		{"no command", nil, nil, nil, exitBadInput, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &geoServer{looks: tt.looks, steps: tt.steps}
			web := httptest.NewServer(s)
			defer web.Close()
			var out, errs bytes.Buffer
			c := &console{out: &out, err: &errs, in: strings.NewReader(""), environ: []string{"USER=ann", "TANDEM_SERVER=" + web.URL}, every: time.Millisecond}
			if code := run(t.Context(), c, append([]string{"geo"}, tt.args...)); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out.String(), errs.String())
			}
			for _, want := range tt.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("got:\n%s\nwant in it: %q", out.String(), want)
				}
			}
			if tt.asked != "" && (len(s.asked) == 0 || s.asked[0] != tt.asked) {
				t.Errorf("asked %v, want %s", s.asked, tt.asked)
			}
		})
	}
}
