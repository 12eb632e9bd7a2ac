package loadmaster_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
	"tandem/internal/probe"
)

// simulated is a running pair of the lab's units, first active and second
// standby, and the program's client and prober of it.
type simulated struct {
	network       *network.Network
	own           *network.Host
	first, second *lab.Unit
	defs          [2]pair.Unit
	client        *loadmaster.Client
	prober        *probe.Prober
	secrets       *secrets
}

func withSimulated(t *testing.T, opts lab.Options, test func(*testing.T, *simulated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := network.New(network.Options{Seed: 7})
		own := n.Host("tandem", ownAddr)
		s := &simulated{network: n, own: own, secrets: &secrets{creds: withKey}}
		addrs := [2]netip.Addr{netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")}
		for i, role := range []lab.Role{lab.First, lab.Second} {
			name := fmt.Sprintf("lm%d", i+1)
			u, err := lab.New(lab.Config{
				Name: name, Role: role, Partner: addrs[1-i], Preferred: true, APIKey: secretKey, Password: secretPassword,
				Phase: time.Duration(i*2000+11) * time.Microsecond, Seed: uint64(i), Options: opts,
			}, n.Host(name, addrs[i]), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			s.defs[i] = pair.Unit{VM: name, Address: addrs[i], API: pair.API{Port: 8443, Secret: name, TLS: pair.TLS{SHA256: u.CertificateSHA256()}}}
			*[]**lab.Unit{&s.first, &s.second}[i] = u
		}
		var err error
		if s.prober, err = probe.New(probe.Options{DialContext: own.DialContext}); err != nil {
			t.Fatal(err)
		}
		s.client = newClient(t, loadmaster.Options{Secrets: s.secrets, DialContext: own.DialContext, Seed: 3})
		s.first.Start(lab.Active)
		s.second.Start(lab.Standby)
		test(t, s)
		s.client.Close()
		s.first.Close()
		s.second.Close()
		n.Close()
		time.Sleep(time.Minute) // whatever was started has ended, or the bubble complains
	})
}

func TestSimulatedUnitsAreReadInEveryVariant(t *testing.T) {
	variants := map[string]lab.Options{
		"as documented":        {},
		"text in JSON":         {V2Values: lab.V2Strings},
		"nested JSON":          {V2Get: lab.V2GetNested},
		"dates as text":        {TimesAsText: true},
		"new words":            {HAModeWords: lab.NewWords},
		"old words":            {HAModeWords: lab.OldWords},
		"interfaces absent":    {AllInterfaces: lab.AllInterfacesAbsent},
		"interfaces present":   {AllInterfaces: lab.AllInterfacesPresent},
		"only v1":              {V2NeedsSessionManagement: true},
		"only v1, old words":   {V2NeedsSessionManagement: true, HAModeWords: lab.OldWords, TimesAsText: true},
		"hastatus not known":   {HAStatus: lab.HAStatusUnknown},
		"the same, only in v1": {HAStatus: lab.HAStatusUnknown, V2NeedsSessionManagement: true, TimesAsText: true},
	}
	for name, opts := range variants {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				states := [2]pair.HAState{pair.Active, pair.Standby}
				if opts.HAStatus == lab.HAStatusUnknown {
					states[0] = pair.StateUnknown // its check port tells
				}
				for i, creds := range []loadmaster.Credentials{withKey, withPassword} {
					s.secrets.set(creds)
					got, err := s.client.Report(t.Context(), s.defs[i])
					want := pair.Report{
						State: states[i], Role: pair.Roles[i], Preferred: pair.PreferFirst, Partner: s.defs[1-i].Address.String(),
						CheckPort: 8444, Firmware: "7.2.59.0.22007.RELEASE", BootedAt: got.BootedAt, ChangedAt: got.ChangedAt,
					}
					if err != nil || got != want || got.BootedAt.IsZero() || got.ChangedAt.IsZero() {
						t.Errorf("got %+v, %v\nwant %+v", got, err, want)
					}
				}
			})
		})
	}
}

func TestSimulatedCheckPortAndAPIAgree(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		for i, want := range []pair.CheckAnswer{pair.CheckServing, pair.CheckIdle} {
			got := s.prober.CheckPort(t.Context(), netip.AddrPortFrom(s.defs[i].Address, 8444))
			if got.Answer != want {
				t.Errorf("unit %d: got %v, want %v", i+1, got.Answer, want)
			}
		}
		s.second.PowerOff()
		if got := s.prober.CheckPort(t.Context(), netip.AddrPortFrom(s.defs[1].Address, 8444)); got.Answer.Answered() {
			t.Errorf("a unit without power: got %v", got.Answer)
		}
	})
}

func TestSimulatedPreferenceIsSetOnBothUnits(t *testing.T) {
	for name, opts := range map[string]lab.Options{"v2": {}, "v1": {V2NeedsSessionManagement: true}} {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				for _, u := range s.defs {
					p, err := s.client.HAParameters(t.Context(), u)
					if err != nil {
						t.Fatal(err)
					}
					p.Preferred = pair.PreferNone
					if err := s.client.SetHAParameters(t.Context(), u, p); err != nil {
						t.Fatal(err)
					}
					if got, err := s.client.HAParameters(t.Context(), u); err != nil || got != p {
						t.Errorf("got %+v, %v; want %+v", got, err, p)
					}
				}
			})
		})
	}
}

func TestSimulatedRebootShowsInTheBootTime(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		before, err := s.client.Report(t.Context(), s.defs[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := s.client.Reboot(t.Context(), s.defs[1]); err != nil && !errors.Is(err, pair.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(5 * time.Second)
			after, err := s.client.Report(t.Context(), s.defs[1])
			if err == nil && after.BootedAt.After(before.BootedAt) {
				return
			}
		}
		t.Error("five minutes later the unit has no new boot time")
	})
}

func TestSimulatedFaultsHaveTheirKinds(t *testing.T) {
	tests := []struct {
		name  string
		fault lab.APIFault
		want  error
	}{
		{"drops", lab.APIDrops, pair.ErrUnreachable},
		{"server error", lab.APIServerError, pair.ErrUnreadable},
		{"unauthorized page", lab.APIUnauthorizedPage, pair.ErrRefused},
		{"not found page", lab.APINotFoundPage, pair.ErrRefused},
		{"closed port", lab.APIRefuses, pair.ErrUnreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
				s.first.SetFaults(lab.Faults{API: tt.fault})
				if _, err := s.client.Report(t.Context(), s.defs[0]); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
	t.Run("a slow unit is read patiently", func(t *testing.T) {
		withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
			s.first.SetFaults(lab.Faults{APIDelay: 4 * time.Second})
			if _, err := s.client.Report(t.Context(), s.defs[0]); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a replaced certificate is noticed by the next pass", func(t *testing.T) {
		withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
			if _, err := s.client.Report(t.Context(), s.defs[0]); err != nil {
				t.Fatal(err)
			}
			s.first.RotateCertificate()
			time.Sleep(15 * time.Second)
			if _, err := s.client.Report(t.Context(), s.defs[0]); !errors.Is(err, pair.ErrUntrusted) {
				t.Errorf("got %v, want ErrUntrusted", err)
			}
		})
	})
	t.Run("a changed password is a refusal, not a death", func(t *testing.T) {
		withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
			s.first.SetAPIKey("another")
			if _, err := s.client.Report(t.Context(), s.defs[0]); !errors.Is(err, pair.ErrRefused) || strings.Contains(err.Error(), "K3y") {
				t.Errorf("got %v, want ErrRefused", err)
			}
		})
	})
}

func TestSimulatedUnitIsNeverAskedTooOften(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 30 { // over the limit the unit hangs up, which would cost a second each
			if _, err := s.client.Report(ctx, s.defs[0]); err != nil {
				t.Fatal(err)
			}
		}
	})
}
