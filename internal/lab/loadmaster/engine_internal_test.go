package loadmaster

import "testing"

func TestStateMachine(t *testing.T) {
	tests := []struct {
		name string
		in   situation
		want State
	}{
		{"nothing happens before the partner was checked", situation{role: First, preferFirst: true, state: Passive}, Passive},

		{"a preferred first is active beside an active partner", situation{role: First, preferFirst: true, state: Passive, partner: partnerActive}, Active},
		{"a preferred first is active beside a standby partner", situation{role: First, preferFirst: true, state: Standby, partner: partnerStandby}, Active},
		{"a preferred first is active without a partner", situation{role: First, preferFirst: true, state: Standby, partner: partnerDown}, Active},

		{"a returning first without preference is standby beside an active partner", situation{role: First, state: Passive, partner: partnerActive}, Standby},
		{"an active first without preference keeps beside an active partner", situation{role: First, state: Active, partner: partnerActive}, Active},
		{"an active first may be the one that yields", situation{role: First, state: Active, partner: partnerActive, healing: FirstYields}, Standby},
		{"an active first may stay beside an active partner", situation{role: First, state: Active, partner: partnerActive, healing: BothStay}, Active},
		{"a first without preference takes over from a standby partner", situation{role: First, state: Standby, partner: partnerStandby}, Active},
		{"a first that waits leaves it to its partner", situation{role: First, state: Standby, partner: partnerStandby, waits: true}, Standby},
		{"a first that waits takes over from silence all the same", situation{role: First, state: Standby, partner: partnerDown, waits: true}, Active},
		{"a preferred first waits for nobody", situation{role: First, preferFirst: true, state: Standby, partner: partnerStandby, waits: true}, Active},
		{"a first without preference takes over at the first silence", situation{role: First, state: Standby, partner: partnerDown, misses: 1, needed: 2}, Active},

		{"a second is standby beside an active first", situation{role: Second, preferFirst: true, state: Passive, partner: partnerActive}, Standby},
		{"an active second yields to an active preferred first", situation{role: Second, preferFirst: true, state: Active, partner: partnerActive}, Standby},
		{"an active second yields without preference too", situation{role: Second, state: Active, partner: partnerActive}, Standby},
		{"an active second may keep without preference", situation{role: Second, state: Active, partner: partnerActive, healing: FirstYields}, Active},
		{"an active second may stay without preference", situation{role: Second, state: Active, partner: partnerActive, healing: BothStay}, Active},
		{"healing options do not touch a preferred first", situation{role: Second, preferFirst: true, state: Active, partner: partnerActive, healing: FirstYields}, Standby},
		{"one miss is not a failure", situation{role: Second, state: Standby, partner: partnerDown, misses: 1, needed: 2}, Standby},
		{"one miss leaves a booted second passive", situation{role: Second, state: Passive, partner: partnerDown, misses: 1, needed: 2}, Passive},
		{"two misses in a row are a failure", situation{role: Second, preferFirst: true, state: Standby, partner: partnerDown, misses: 2, needed: 2}, Active},
		{"an active second without preference keeps beside a standby first", situation{role: Second, state: Active, partner: partnerStandby}, Active},
		{"an active second makes way for a preferred first that is not active yet", situation{role: Second, preferFirst: true, state: Active, partner: partnerStandby}, Standby},
		{"a second waits until the first has decided", situation{role: Second, state: Passive, partner: partnerStandby}, Standby},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, why := tt.in.next(); got != tt.want || why == "" {
				t.Errorf("%+v gave %v (%s), want %v", tt.in, got, why, tt.want)
			}
		})
	}
}

// TestStateMachineSettles walks every combination of two units that see each
// other and checks that one round after another leads to exactly one active
// unit, unless an option says that both stay.
func TestStateMachineSettles(t *testing.T) {
	states := []State{Passive, Active, Standby}
	for _, prefer := range []bool{false, true} {
		for _, healing := range []NoPreferenceHealing{SecondYields, FirstYields, BothStay} {
			for _, first := range states {
				for _, second := range states {
					f, s := settle(prefer, healing, first, second)
					bothStay := healing == BothStay && !prefer && first == Active && second == Active
					if (f == Active) == (s == Active) && !bothStay {
						t.Errorf("prefer %v healing %v: %v and %v became %v and %v", prefer, healing, first, second, f, s)
					}
					if prefer && f != Active {
						t.Errorf("healing %v: %v and %v left the preferred unit %v", healing, first, second, f)
					}
				}
			}
		}
	}
}

func settle(prefer bool, healing NoPreferenceHealing, first, second State) (State, State) {
	seen := func(s State) partnerView {
		if s == Active {
			return partnerActive
		}
		return partnerStandby
	}
	for range 4 {
		first, _ = situation{role: First, preferFirst: prefer, state: first, partner: seen(second), needed: 2, healing: healing}.next()
		second, _ = situation{role: Second, preferFirst: prefer, state: second, partner: seen(first), needed: 2, healing: healing}.next()
	}
	return first, second
}
