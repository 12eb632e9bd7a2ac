package loadmaster_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
)

const (
	active  = loadmaster.Active
	standby = loadmaster.Standby
	passive = loadmaster.Passive
	booting = loadmaster.Booting
	off     = loadmaster.Off
)

func noPreference(c *loadmaster.Config) { c.Preferred = false }

func TestCrashAndReturnWithFirstPreferred(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(30 * time.Second)
		l.expect("a quiet pair", active, standby)
		l.first.PowerOff()
		l.pass(6 * time.Second)
		l.expect("after one missed check", off, standby)
		l.pass(8 * time.Second)
		l.expect("after two missed checks", off, active)
		l.first.PowerOn()
		l.pass(19 * time.Second)
		l.expect("while it boots", booting, active)
		l.pass(12 * time.Second)
		l.expect("after its return", active, standby)
		if want := "lm2 becomes Active (partner silent for 2 checks)"; !strings.Contains(l.transcript(), want) {
			t.Errorf("the transcript lacks %q:\n%s", want, l.transcript())
		}
	})
}

func TestCrashAndReturnWithoutPreference(t *testing.T) {
	inLab(t, noPreference, func(t *testing.T, l *lab) {
		l.running().pass(30 * time.Second)
		l.expect("a quiet pair", active, standby)
		l.first.PowerOff()
		l.pass(14 * time.Second)
		l.expect("after two missed checks", off, active)
		l.first.PowerOn()
		l.pass(5 * time.Minute)
		l.expect("whoever is active stays", standby, active)
		l.second.PowerOff()
		l.pass(14 * time.Second)
		l.expect("each takes over from the other", active, off)
		l.second.PowerOn()
		l.pass(5 * time.Minute)
		l.expect("whoever is active stays", active, standby)
	})
}

func TestPartnerLinkCut(t *testing.T) {
	tests := []struct {
		name          string
		change        func(c *loadmaster.Config)
		first, second loadmaster.State // after the healing
	}{
		{"a preferred first keeps", nil, active, standby},
		{"without preference the second yields", noPreference, active, standby},
		{"without preference the first may yield", func(c *loadmaster.Config) {
			c.Preferred, c.Options.NoPreferenceHealing = false, loadmaster.FirstYields
		}, standby, active},
		{"without preference both may stay", func(c *loadmaster.Config) {
			c.Preferred, c.Options.NoPreferenceHealing = false, loadmaster.BothStay
		}, active, active},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, tt.change, func(t *testing.T, l *lab) {
				l.running().pass(30 * time.Second)
				l.cutPartners()
				l.pass(20 * time.Second)
				l.expect("during the cut", active, active)
				if !l.first.ServesTraffic() || !l.second.ServesTraffic() {
					t.Error("both are active, but not both serve")
				}
				l.healPartners()
				l.pass(20 * time.Second)
				l.expect("after the healing", tt.first, tt.second)
			})
		})
	}
}

func TestOneWayCutIsASplitToo(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.net.Cut(firstAddr, secondAddr)
		l.pass(20 * time.Second)
		l.expect("one direction is enough", active, active)
	})
}

func TestDifferentCheckPortsMakeNoPair(t *testing.T) {
	other := func(c *loadmaster.Config) {
		if c.Role == loadmaster.Second {
			c.CheckPort = 8445
		}
	}
	inLab(t, other, func(t *testing.T, l *lab) {
		l.running().pass(20 * time.Second)
		l.expect("the units do not find each other", active, active)
	})
}

func TestBoot(t *testing.T) {
	tests := []struct {
		name   string
		answer loadmaster.BootAnswer
		status int // of the API in the last fifth; 0 is silence
	}{
		{"the API is not there yet", loadmaster.BootNotFound, 404},
		{"the API knows nobody yet", loadmaster.BootUnauthorized, 401},
		{"the unit is silent until it is up", loadmaster.BootSilence, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) {
				c.BootDelay, c.Options.BootAnswer = 5*time.Minute, tt.answer
			}, func(t *testing.T, l *lab) {
				l.first.PowerOn()
				time.Sleep(4*time.Minute - 2*time.Second)
				if _, _, err := fetch(l.operator, "https://10.0.0.4:8443/", time.Second); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("early in the boot: got %v, want silence", err)
				}
				time.Sleep(10 * time.Second)
				if status, _, err := fetch(l.operator, "https://10.0.0.4:8443/access/get?param=version", time.Second); status != tt.status {
					t.Errorf("late in the boot: got %d %v, want %d", status, err, tt.status)
				}
				l.expect("still", booting, off)
				time.Sleep(time.Minute)
				l.expect("nobody polls it", passive, off)
				if status, _, err := fetch(l.operator, "http://10.0.0.4:8444/", time.Second); status != 503 {
					t.Errorf("a passive unit answers %d %v on its check port, want 503", status, err)
				}
				if l.first.ServesTraffic() {
					t.Error("a passive unit serves")
				}
				time.Sleep(6 * time.Second)
				l.expect("that was a poll", active, off)
			})
		})
	}
}

func TestPassiveUntil(t *testing.T) {
	tests := []struct {
		name    string
		options loadmaster.Options
		from    string // who asks the check port
		second  bool   // whether the partner is there
		want    loadmaster.State
	}{
		{name: "nobody asks", want: passive},
		{name: "the load balancer asks", from: "lb", want: active},
		{name: "anybody asks", from: "operator", want: active},
		{name: "only the partner asks", second: true, want: passive},
		{name: "the partner may count", options: loadmaster.Options{PolledBy: loadmaster.PolledByAnyone}, second: true, want: active},
		{name: "perhaps only the load balancer counts", options: loadmaster.Options{PolledBy: loadmaster.PolledByLoadBalancer}, from: "operator", want: passive},
		{name: "and then it does", options: loadmaster.Options{PolledBy: loadmaster.PolledByLoadBalancer}, from: "lb", want: active},
		{name: "perhaps a check of the partner is enough", options: loadmaster.Options{PassiveUntil: loadmaster.PassiveUntilPartnerChecked}, want: active},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.first.Start(passive)
				if tt.second {
					l.second.Start(standby)
				}
				time.Sleep(time.Second)
				if from := map[string]*network.Host{"lb": l.lb, "operator": l.operator}[tt.from]; from != nil {
					_, _, _ = fetch(from, "http://10.0.0.4:8444/", time.Second)
				}
				time.Sleep(20 * time.Second)
				if got := l.first.State(); got != tt.want {
					t.Errorf("got %v, want %v\n%s", got, tt.want, l.transcript())
				}
			})
		})
	}
}

func TestRebootByTheAPI(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		_, before := l.v1("get?param=boottime")
		if status, body := l.v1("azurehaparam?haprefered=0"); status != 200 {
			t.Fatal(status, body)
		}
		if _, body := l.v1("reboot"); body != fixture(t, "v1-plain-success.xml") {
			t.Errorf("reboot answered %q", body)
		}
		l.v1("reboot") // a second one changes nothing
		l.expect("it takes seconds to begin", active, standby)
		l.pass(5 * time.Second)
		l.expect("it goes away", booting, standby)
		l.pass(12 * time.Second)
		l.expect("the partner takes over", booting, active)
		l.pass(time.Minute)
		l.expect("it keeps its configuration: second still prefers first and makes way", active, standby)
		if _, after := l.v1("get?param=boottime"); after == before {
			t.Errorf("boottime did not change: %s", after)
		}
		if _, body := l.v1("get?param=haprefered"); !strings.Contains(body, "\n0\n") {
			t.Errorf("haprefered was lost: %s", body)
		}
		if n := strings.Count(l.transcript(), " lm1 reboots"); n != 1 {
			t.Errorf("it rebooted %d times:\n%s", n, l.transcript())
		}
	})
}

func TestPowerIsSafeAtAnyTime(t *testing.T) {
	tests := []struct {
		name string
		do   func(l *lab)
		want loadmaster.State
	}{
		{"off in the first part of a boot", func(l *lab) { l.first.PowerOn(); time.Sleep(time.Second); l.first.PowerOff() }, off},
		{"off in the last part of a boot", func(l *lab) { l.first.PowerOn(); time.Sleep(17 * time.Second); l.first.PowerOff() }, off},
		{"off and off again", func(l *lab) { l.first.Start(active); l.first.PowerOff(); l.first.PowerOff() }, off},
		{"on and on again", func(l *lab) { l.first.PowerOn(); l.first.PowerOn(); l.first.Start(active) }, booting},
		{"off while a reboot is under way", func(l *lab) { l.first.Start(active); l.v1("reboot"); l.first.PowerOff() }, off},
		{"off and on while a reboot is under way", func(l *lab) {
			l.first.Start(active)
			l.v1("reboot")
			l.first.PowerOff()
			l.first.PowerOn()
			time.Sleep(25 * time.Second)
		}, passive},
		{"closed while a reboot is under way", func(l *lab) { l.first.Start(active); l.v1("reboot"); l.first.Close() }, off},
		{"on after close", func(l *lab) { l.first.Close(); l.first.PowerOn(); l.first.Start(active) }, off},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				tt.do(l)
				synctest.Wait()
				if got := l.first.State(); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestCrashIsSilentAndRebootIsNot(t *testing.T) {
	for _, crash := range []bool{true, false} {
		inLab(t, nil, func(t *testing.T, l *lab) {
			l.running()
			conn, err := l.operator.DialContext(t.Context(), "tcp", "10.0.0.4:80")
			if err != nil {
				t.Fatal(err)
			}
			if crash {
				l.first.PowerOff()
			} else {
				l.v1("reboot")
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			timeout := interface{ Timeout() bool }(nil)
			if silent := errors.As(err, &timeout) && timeout.Timeout(); silent != crash {
				t.Errorf("crash %v: an open connection ended with %v", crash, err)
			}
		})
	}
}

func TestSingleUnit(t *testing.T) {
	single := func(c *loadmaster.Config) { c.Role = loadmaster.Single }
	inLab(t, single, func(t *testing.T, l *lab) {
		l.first.Start(passive)
		l.expect("a single unit serves", active, off)
		if _, _, err := fetch(l.operator, "http://10.0.0.4:8444/", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("it has a check port: %v", err)
		}
		if _, body := l.v1("get?param=hastatus"); !strings.Contains(body, "HA not configured") {
			t.Errorf("hastatus: %s", body)
		}
		_, boot := l.v1("get?param=boottime")
		if _, act := l.v1("get?param=activetime"); strings.ReplaceAll(boot, "boottime", "activetime") != act {
			t.Errorf("activetime differs from boottime: %s%s", act, boot)
		}
		if _, body := l.v1("getcloudhaparams"); body != fixture(t, "v1-getcloudhaparams-single.xml") {
			t.Errorf("getcloudhaparams: %s", body)
		}
	})
}

func TestServices(t *testing.T) {
	tests := []struct {
		name          string
		options       loadmaster.Options
		faults        loadmaster.Faults
		first, second bool // whether the service answers
	}{
		{name: "the active unit answers, the standby refuses", first: true},
		{name: "a standby may forward", options: loadmaster.Options{StandbyForwards: true}, first: true, second: true},
		{name: "a unit may lie", options: loadmaster.Options{StandbyForwards: true}, faults: loadmaster.Faults{ServicesDead: true}, second: true},
		{name: "a closed port stands for dead real servers too", options: loadmaster.Options{DeadRealServers: loadmaster.DeadRealServersReset}, faults: loadmaster.Faults{RealServersDown: true}},
		{name: "a forced 200 forwards nothing", faults: loadmaster.Faults{StuckPassive: true, CheckPort: loadmaster.CheckPortSays200}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.running()
				l.first.SetFaults(tt.faults)
				for _, unit := range []struct {
					u      *loadmaster.Unit
					url    string
					serves bool
				}{{l.first, "http://10.0.0.4/a/path", tt.first}, {l.second, "http://10.0.0.5/a/path", tt.second}} {
					req := request(t, unit.url)
					resp, body, err := do(l.operator, req, time.Second)
					switch {
					case !unit.serves && !errors.Is(err, syscall.ECONNREFUSED):
						t.Errorf("%s answered %v %v, want a refusal", unit.url, resp, err)
					case unit.serves && err != nil:
						t.Errorf("%s: %v", unit.url, err)
					case unit.serves && (resp.StatusCode != 200 || resp.Header.Get("X-Served-By") != unit.u.Name() || body != "/a/path\n"):
						t.Errorf("%s answered %v %q", unit.url, resp, body)
					}
					if unit.u.ServesTraffic() != unit.serves {
						t.Errorf("%s ServesTraffic is %v", unit.u.Name(), !unit.serves)
					}
				}
			})
		})
	}
}

func TestDeadRealServersAreNoFaultOfTheUnit(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.first.SetFaults(loadmaster.Faults{RealServersDown: true})
		resp, _, err := do(l.operator, request(t, "http://10.0.0.4/"), time.Second)
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("X-Served-By") != "" {
			t.Errorf("the service answered %v %v, want a 503 that names no server", resp, err)
		}
		if status, _, err := fetch(l.operator, "http://10.0.0.4:8444/", time.Second); status != 200 || l.first.ServesTraffic() {
			t.Errorf("check port %d %v and serves traffic %v, want 200 and false", status, err, l.first.ServesTraffic())
		}
		if _, body := l.v1("vstotals"); !strings.Contains(body, "<Down>1</Down>") {
			t.Errorf("vstotals shows nothing down: %s", body)
		}
		l.pass(20 * time.Second)
		l.expect("nobody moves for it", active, standby)
		l.first.SetFaults(loadmaster.Faults{})
		if resp, _, err := do(l.operator, request(t, "http://10.0.0.4/"), time.Second); err != nil || resp.Header.Get("X-Served-By") != "lm1" {
			t.Errorf("afterwards: %v %v", resp, err)
		}
	})
}

func TestAFlappingCheckPortAlternates(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.first.Start(active)
		l.first.SetFaults(loadmaster.Faults{FlapEvery: 2 * time.Second})
		l.first.ChangeFaults(func(f *loadmaster.Faults) { f.APIDelay = time.Second }) // no new beginning
		var got []int
		for range 6 {
			time.Sleep(time.Second - time.Millisecond)
			status, _, _ := fetch(l.operator, "http://10.0.0.4:8444/", time.Second)
			got = append(got, status)
			time.Sleep(time.Millisecond)
		}
		if want := []int{503, 503, 200, 200, 503, 503}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		l.first.ChangeFaults(func(f *loadmaster.Faults) { f.CheckPort = loadmaster.CheckPortSays200 })
		if status, _, _ := fetch(l.operator, "http://10.0.0.4:8444/", time.Second); status != 200 {
			t.Errorf("a port that was told what to say says %d", status)
		}
		if l.first.Faults().APIDelay != time.Second {
			t.Error("a change of one fault lost another")
		}
	})
}

func TestCheckPort(t *testing.T) {
	newWords := func(c *loadmaster.Config) { c.Options.HealthWords = loadmaster.NewWords }
	tests := []struct {
		name   string
		change func(c *loadmaster.Config)
		state  loadmaster.State
		fault  loadmaster.CheckPortFault
		status int // 0: silence
		body   string
	}{
		{name: "active", state: active, status: 200, body: "Slave is active\n"},
		{name: "active in new words", change: newWords, state: active, status: 200, body: "Second is active\n"},
		{name: "standby", state: standby, status: 503},
		{name: "passive", state: passive, status: 503},
		{name: "a standby that lies", state: standby, fault: loadmaster.CheckPortSays200, status: 200, body: "Slave is active\n"},
		{name: "an active unit that denies", state: active, fault: loadmaster.CheckPortSays503, status: 503},
		{name: "an active unit that is mute", state: active, fault: loadmaster.CheckPortSilent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, tt.change, func(t *testing.T, l *lab) {
				l.second.Start(tt.state)
				l.second.SetFaults(loadmaster.Faults{CheckPort: tt.fault})
				if got := l.second.Faults().CheckPort; got != tt.fault {
					t.Errorf("fault is %v, want %v", got, tt.fault)
				}
				status, body, err := fetch(l.operator, "http://10.0.0.5:8444/", time.Second)
				if status != tt.status || body != tt.body {
					t.Errorf("got %d %q %v, want %d %q", status, body, err, tt.status, tt.body)
				}
			})
		})
	}
}

func TestStuckPassiveEndsWithTheFault(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.first.SetFaults(loadmaster.Faults{StuckPassive: true})
		l.pass(time.Minute)
		l.expect("a second that waits for a preferred first", passive, standby)
		l.first.SetFaults(loadmaster.Faults{})
		l.pass(10 * time.Second)
		l.expect("without the fault", active, standby)
	})
}

func TestTwoThatWaitForEachOtherAreEndedByAPreference(t *testing.T) {
	inLab(t, noPreference, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.first.SetFaults(loadmaster.Faults{StuckStandby: true})
		l.pass(time.Minute)
		l.expect("a first that waits, and a second as ever", standby, standby)
		l.v1("azurehaparam?haprefered=1")
		l.pass(10 * time.Second)
		l.expect("a preferred first", active, standby)
		l.v1("azurehaparam?haprefered=0")
		l.pass(time.Minute)
		l.expect("what is active stays so", active, standby)
	})
}

func TestNewReportsAllMistakes(t *testing.T) {
	n := network.New(network.Options{})
	defer n.Close()
	_, err := loadmaster.New(loadmaster.Config{
		CheckPort: 8443, ServicePorts: []int{70000}, CheckInterval: time.Second, Phase: time.Second, CheckFailures: -1, BootDelay: -1,
	}, n.Host("lm1", firstAddr), nil)
	for _, want := range []string{"no name", "role 0", "no partner", "boot delay", "check failures", "check timeout", "phase", "8443 is used twice", "port 70000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to mention %q", err, want)
		}
	}
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	var transcripts []string
	for range 5 {
		inLab(t, noPreference, func(t *testing.T, l *lab) {
			l.running().pass(10 * time.Second)
			l.v1("reboot")
			l.pass(time.Minute)
			l.cutPartners()
			l.pass(time.Minute)
			l.healPartners()
			l.second.PowerOff()
			l.second.PowerOn()
			l.pass(time.Minute)
			transcripts = append(transcripts, l.transcript())
		})
	}
	for _, other := range transcripts[1:] {
		if other != transcripts[0] {
			t.Fatalf("two stories:\n%s\n\n%s", transcripts[0], other)
		}
	}
	t.Log(transcripts[0])
}
