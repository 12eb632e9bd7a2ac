package lab

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowded plays a world without program in which clients hold connections, until
// its end, and returns what came of them, what was said of them, and what was not
// as expected.
func crowded(t *testing.T, sc Scenario, seed uint64, see func(w *World)) (got Connections, told, failures []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sc.Name, sc.Summary = "test", "A test."
		w, err := New(sc, Options{Seed: seed, Believed: func() string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan error)
		go func() { over <- w.Run(t.Context()) }()
		if see != nil {
			see(w)
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
		got, failures = w.Connections(), w.Failures()
		for _, l := range w.Transcript() {
			if l.Source == "clients" {
				told = append(told, l.Clock()+" "+l.Event)
			}
		}
		w.Close()
		time.Sleep(time.Minute)
	})
	return got, told, failures
}

// TestConnectionsThatAreHeld lets things happen to units that carry connections.
func TestConnectionsThatAreHeld(t *testing.T) {
	clients := Clients{Count: 20, Hold: 2 * time.Minute}
	none := 0
	calm := Expect{NewConnectionsFailed: &none, ConnectionsCut: &none}
	first, second := "first", "second"
	move := []Step{ // without preference, so that the state stays where it goes
		{At: 2 * time.Minute, Do: "set-admin", Unit: second, State: "Up"},
		{At: 2*time.Minute + 30*time.Second, Do: "set-admin", Unit: first, State: "Down"},
	}
	tests := []struct {
		name        string
		sc          Scenario
		cut, failed bool
	}{
		{name: "nothing happens", sc: Scenario{Expect: calm}},
		{name: "a reboot of the standby is noticed by nobody", sc: Scenario{
			Steps: []Step{{At: 3 * time.Minute, Do: "reboot", Unit: second}}, Expect: calm,
		}},
		{name: "a reboot of the active unit cuts what stands and fails what is new", sc: Scenario{
			Steps: []Step{{At: 3 * time.Minute, Do: "reboot", Unit: first}},
		}, cut: true, failed: true},
		{name: "so does a crash, of which clients learn by silence", sc: Scenario{
			Steps: []Step{{At: 3 * time.Minute, Do: "crash", Unit: first}},
		}, cut: true, failed: true},
		{name: "a drained move cuts nothing and fails nothing where the standby forwards", sc: Scenario{
			Pair: map[string]any{"ha.preferred": "none"}, Options: map[string]string{"standby-forwards": "yes"},
			Steps: append(slices.Clone(move), Step{At: 6 * time.Minute, Do: "reboot", Unit: first}), Expect: calm,
		}},
		{name: "a move without a drain cuts what still stands", sc: Scenario{
			Pair: map[string]any{"ha.preferred": "none"}, Options: map[string]string{"standby-forwards": "yes"},
			Steps: append(slices.Clone(move), Step{At: 3*time.Minute + 30*time.Second, Do: "reboot", Unit: first}),
		}, cut: true},
		{name: "a standby that does not forward fails what is new", sc: Scenario{
			Pair: map[string]any{"ha.preferred": "none"}, Steps: slices.Clone(move),
		}, failed: true},
		{name: "Down lets stand what stands", sc: Scenario{
			Steps: []Step{{At: 3 * time.Minute, Do: "set-admin", Unit: first, State: "Down"}},
		}, failed: true},
		{name: "but not where Down resets", sc: Scenario{
			Options: map[string]string{"down-resets-connections": "yes"},
			Steps:   []Step{{At: 3 * time.Minute, Do: "set-admin", Unit: first, State: "Down"}},
		}, cut: true, failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.sc.Clients, tt.sc.For = clients, 7*time.Minute
			got, told, failures := crowded(t, tt.sc, 1, nil)
			if got.New < 40 || got.Ended < 10 || got.Cut > 0 != tt.cut || got.Failed > 0 != tt.failed || len(failures) != 0 {
				t.Errorf("got %+v, want cut %t, failed %t; %q\n%s", got, tt.cut, tt.failed, failures, strings.Join(told, "\n"))
			}
		})
	}
}

func TestAStoryMayExpectThatNoConnectionIsCut(t *testing.T) {
	none := 0
	sc := Scenario{
		For: 3 * time.Minute, Boot: time.Hour, Clients: Clients{Count: 5, Hold: 5 * time.Minute}, Expect: Expect{NewConnectionsFailed: &none, ConnectionsCut: &none},
		Steps: []Step{{At: 2 * time.Minute, Do: "reboot", Unit: "first"}},
	}
	_, told, failures := crowded(t, sc, 1, nil)
	if text := strings.Join(failures, "\n"); len(failures) != 2 || !strings.Contains(text, "new connections failed, expected at most 0") || !strings.Contains(text, "5 connections were cut, expected at most 0") {
		t.Errorf("failures %q", failures)
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "5 of them hold a connection each") || !strings.Contains(text, "5 connections were cut") || !strings.Contains(text, "new connections are not served\n") || !strings.Contains(text, "new connections are served again; ") ||
		!strings.Contains(text, "connections in all") {
		t.Errorf("told\n%s", text)
	}
}

func TestTheSameSeedTellsTheSameStoryOfConnections(t *testing.T) {
	sc := Scenario{
		For: 5 * time.Minute, Clients: Clients{Count: 40, Hold: time.Minute, Every: 10 * time.Second},
		Steps: []Step{
			{At: time.Minute, Do: "cut"}, {At: 2 * time.Minute, Do: "heal"}, // both serve for a while
			{At: 3 * time.Minute, Do: "crash", Unit: "first"}, {At: 4 * time.Minute, Do: "boot", Unit: "first"},
		},
	}
	once, told, _ := crowded(t, sc, 3, nil)
	again, toldAgain, _ := crowded(t, sc, 3, nil)
	if once != again || !slices.Equal(told, toldAgain) {
		t.Errorf("first %+v\n%s\nthen %+v\n%s", once, strings.Join(told, "\n"), again, strings.Join(toldAgain, "\n"))
	}
	if other, _, _ := crowded(t, sc, 4, nil); other == once {
		t.Errorf("another seed tells the very same: %+v", other)
	}
}

// TestTheClientOfTheOutageIsAlone: whoever else has connections, it measures the
// same.
func TestTheClientOfTheOutageIsAlone(t *testing.T) {
	measure := func(c Clients) (o Outage) {
		crowded(t, Scenario{For: 4 * time.Minute, Clients: c, Steps: []Step{{At: 2 * time.Minute, Do: "crash", Unit: "first"}}}, 1, func(w *World) {
			time.Sleep(4*time.Minute + 5*time.Second)
			o = w.Outage()
		})
		return o
	}
	if alone, among := measure(Clients{}), measure(Clients{Count: 50, Hold: time.Minute}); alone != among || alone.Failed == 0 {
		t.Errorf("alone %+v, among others %+v", alone, among)
	}
}

func TestClientsThatCannotBe(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nobody", "clients: { hold: 1m }", "expected one or more"},
		{"who do not hold", "clients: { count: 5 }", "expected one or more"},
		{"who say too little", "clients: { count: 5, hold: 5m, every: 1m }", "every less than 1m0s"},
		{"who come before the story", "clients: { count: 5, hold: 5m, from: -1s }", "not negative"},
		{"whose seconds are not whole", "clients: { count: 5, hold: 2500ms }", "whole seconds"},
		{"of whom something is expected and who are not", "expect: { connectionsCut: 0 }", "there are no clients"},
		{"who are right", "clients: { count: 500, hold: 3m, every: 30s, from: 1m }\nexpect: { newConnectionsFailed: 0, connectionsCut: 3 }", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadScenario("test", []byte("name: test\nsummary: A test.\nfor: 9m\n"+tt.text))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}
