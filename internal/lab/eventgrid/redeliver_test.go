package eventgrid

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func delivered(h *webhook) string {
	var ids []string
	for _, a := range h.got() {
		ids = append(ids, a.ids...)
	}
	return strings.Join(ids, " ")
}

func TestRedeliver(t *testing.T) {
	for _, tt := range []struct {
		name    string
		faults  Faults
		status  func(int) int
		times   []int
		publish []string
		want    string // in all
	}{
		{"everything comes again, the newest first", Faults{}, nil, []int{1}, []string{"a", "b", "c"}, "a b c c b a"},
		{"as often as is said", Faults{}, nil, []int{2}, []string{"a", "b"}, "a b b a b a"},
		{"and a repeat does not count as taken again", Faults{}, nil, []int{1, 1}, []string{"a", "b"}, "a b b a b a"},
		{"nor does a duplicate", Faults{Duplicate: 1}, nil, []int{1}, []string{"a"}, "a a a"},
		{"what was lost is not repeated", Faults{Lose: 1}, nil, []int{1}, []string{"a"}, ""},
		{"nor what was refused", Faults{}, always(400), []int{1}, []string{"a"}, "a"},
		{"no repeat", Faults{}, nil, []int{0}, []string{"a"}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &webhook{status: tt.status}
				g := start(t, hook, Options{Delay: time.Second}, nil)
				g.SetFaults(tt.faults)
				for _, id := range tt.publish {
					g.Publish(event(id))
					time.Sleep(5 * time.Second)
				}
				g.SetFaults(Faults{Lose: 1})
				for _, times := range tt.times {
					before := len(hook.got())
					n := g.Redeliver(times)
					settled(t, g)
					if got := len(hook.got()) - before; got != n {
						t.Errorf("%d deliveries, %d were announced", got, n)
					}
				}
				if got := delivered(hook); got != tt.want {
					t.Errorf("delivered %q, want %q", got, tt.want)
				}
				g.Close()
				if n := g.Redeliver(1); n != 0 {
					t.Errorf("a closed grid announced %d deliveries", n)
				}
			})
		})
	}
}

func TestHealthIsReportedWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		g := start(t, hook, Options{}, nil)
		const vm = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/lm1"
		for _, step := range []struct {
			vm      string
			state   Availability
			changed bool
		}{
			{vm, Available, false}, {vm, Unavailable, true}, {strings.ToUpper(vm), Unavailable, false}, {vm + "2", Available, false}, {vm, Available, true},
		} {
			if got := g.Report(step.vm, step.state, time.Now()); got != step.changed {
				t.Errorf("%s reported %s: changed %t", step.vm, step.state, got)
			}
			time.Sleep(time.Second)
		}
		settled(t, g)
		var states []string
		for _, a := range hook.got() {
			for _, s := range []string{`"previousAvailabilityState":"Available","availabilityState":"Unavailable"`, `"previousAvailabilityState":"Unavailable","availabilityState":"Available"`} {
				if strings.Contains(a.body, s) {
					states = append(states, s[len(s)-12:])
				}
			}
		}
		if !slices.Equal(states, []string{`Unavailable"`, `:"Available"`}) {
			t.Errorf("got %q", states)
		}
		g.Close()
	})
}
