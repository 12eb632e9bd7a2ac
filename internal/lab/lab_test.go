package lab

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/network"
)

func TestReadScenarioRefusesWhatItDoesNotKnow(t *testing.T) {
	tests := []struct{ name, story, want string }{
		{"an unknown key", "name: a\nsummary: b\nfor: 1m\nfoo: 1\n", "foo"},
		{"an unknown verb", "name: a\nsummary: b\nfor: 1m\nsteps: [ { at: 1s, do: explode } ]\n", `do "explode": expected one of`},
		{"steps out of order", "name: a\nsummary: b\nfor: 1m\nsteps: [ { at: 9s, do: cut }, { at: 1s, do: heal } ]\n", "step 2 is at 1s"},
		{"a story without an end", "name: a\nsummary: b\n", "expected name, summary and for"},
		{"no YAML", "\t:", "read story"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ReadScenario("x.yaml", []byte(tt.story)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestFindKnowsWhatThereIs(t *testing.T) {
	if sc, err := Find("healthy-hour"); err != nil || sc.Name != "healthy-hour" {
		t.Errorf("got %q, %v", sc.Name, err)
	}
	if _, err := Find("no-such-story"); err == nil || !strings.Contains(err.Error(), `"no-such-story"`) || len(err.Error()) > 100 {
		t.Errorf("got %v, want a short error that names what there is not", err)
	}
}

func TestAStoryChangesTheCommonPairFileByPath(t *testing.T) {
	b, err := Scenario{Pair: map[string]any{"ha.preferred": "none", "failover.holdDown": "1m"}}.PairFile(map[string]string{"first": "aa"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"preferred: none", "holdDown: 1m", "sha256: aa", "checkPort: 8444"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("pair file lacks %q:\n%s", want, b)
		}
	}
}

func TestOptionsHaveAnswers(t *testing.T) {
	tests := []struct{ name, question, answer, want string }{
		{"an unknown question", "colour", "red", "expected one of boot-answer"},
		{"an unknown answer", "standby-forwards", "perhaps", "expected one of no, yes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := CheckOptions(map[string]string{tt.question: tt.answer}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	for _, q := range OpenQuestions {
		if len(q.Answers) < 2 || q.About == "" {
			t.Errorf("question %s has %v: expected two answers or more, and what it is about", q.Name, q.Answers)
		}
	}
}

func TestLinesOfOneInstantAreSorted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		r := &transcript{start: time.Now(), tell: func(l Line) { told = append(told, l.Source) }}
		r.log("b", "x")
		r.log("a", "x")
		if len(told) != 0 {
			t.Errorf("told %v before the instant was over", told)
		}
		time.Sleep(time.Second)
		r.log("c", "x")
		lines := r.flush()
		if got := strings.Join(told, ""); got != "abc" || len(lines) != 3 || lines[2].Clock() != "00:00:01.000" {
			t.Errorf("told %s, lines %v", got, lines)
		}
	})
}

// unit answers like a LoadMaster's published service.
func unit(h *network.Host, name string) *http.Server {
	l, err := h.Listen(443)
	if err != nil {
		panic(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Served-By", name) })}
	go func() { _ = s.Serve(l) }()
	return s
}

func TestTheClientMeasuresTheTimeWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network.New(network.Options{})
		defer n.Close()
		service := n.Host("service", netip.MustParseAddr("10.0.0.100"))
		c := newClient(n.Host("client", netip.MustParseAddr("10.0.0.200")), func() (netip.AddrPort, bool) { return netip.MustParseAddrPort("10.0.0.100:443"), true }, 0, func(string) {})
		first := unit(service, "lm1")
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() { c.run(ctx); close(done) }()
		time.Sleep(clientFrom + 10*time.Second + time.Millisecond)
		_ = first.Close()
		time.Sleep(10 * time.Second)
		if got := c.serving(); got != "nobody" {
			t.Errorf("served by %s while nobody listens", got)
		}
		second := unit(service, "lm2")
		<-done
		_ = second.Close()
		o := c.measured()
		if o.Total < 9500*time.Millisecond || o.Total > 10500*time.Millisecond || o.Failed == 0 || o.Split != 0 {
			t.Errorf("measured %+v, want an outage of about 10s", o)
		}
		if got := c.serving(); got != "lm2" {
			t.Errorf("served by %s at the end, want lm2", got)
		}
	})
}

func TestTheClientMeasuresTheTimeInWhichBothServe(t *testing.T) {
	c := &client{log: func(string) {}, seen: map[string]time.Time{}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 100 { // 50 seconds: alone, then alternating for 20 s, then alone
		name := "lm1"
		if i >= 40 && i < 80 && i%2 == 0 {
			name = "lm2"
		}
		c.judge(answer{sent: start.Add(time.Duration(i) * clientEvery), served: name})
	}
	if got := c.measured(); got.Total != 0 || got.Split < 19*time.Second || got.Split > 23*time.Second {
		t.Errorf("measured %+v, want a split of about 20s and no outage", got)
	}
}

func TestSimulatedServicesAreVouchedForByTheAuthority(t *testing.T) {
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	config, err := a.server(ManagerName)
	if err != nil || len(config.Certificates) != 1 || !strings.Contains(string(a.pem()), "BEGIN CERTIFICATE") {
		t.Fatalf("got %v, %v", config, err)
	}
}
