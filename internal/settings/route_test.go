package settings

import (
	"net/netip"
	"testing"

	"tandem/internal/pair"
)

func TestRoute(t *testing.T) {
	service := Write{class: VirtualServices, of: VirtualServices, verb: Modify}
	parameter := Write{class: Parameters, of: Parameters, verb: Modify}
	standby := Circumstances{Receiver: pair.Second, Active: pair.First, SyncTried: true, MayRestore: true, Writes: Lasts}
	with := func(change func(*Circumstances)) Circumstances {
		c := standby
		change(&c)
		return c
	}
	tests := []struct {
		name string
		w    Write
		c    Circumstances
		want Method
		part Part
	}{
		{"the active unit takes object calls", service, with(func(c *Circumstances) { c.Active = pair.Second; c.SyncTried = false }), ObjectCalls, NoPart},
		{"as long as it is not known who is active, nothing is written", service, with(func(c *Circumstances) { c.Active = pair.RoleUnknown }), MethodWait, NoPart},
		{"the zero value of everything waits", Write{}, Circumstances{}, MethodWait, NoPart},
		{"towards a standby the vendor's sync comes first", service, with(func(c *Circumstances) { c.SyncTried = false }), VendorSync, NoPart},
		{"then it is provoked, with consent", service, with(func(c *Circumstances) { c.MayProvoke = true }), ProvokedSync, NoPart},
		{"but once", service, with(func(c *Circumstances) { c.MayProvoke, c.Provoked = true, true }), PartialRestore, ServicesPart},
		{"a sync that is blocked is neither awaited nor provoked", service, with(func(c *Circumstances) { c.SyncBlocked, c.SyncTried, c.MayProvoke = true, false, true }), PartialRestore, ServicesPart},
		{"then comes a restore of the part", service, standby, PartialRestore, ServicesPart},
		{"which must not overwrite what waits on the receiver", service, with(func(c *Circumstances) { c.Pending = ServicesPart }), ObjectCalls, NoPart},
		{"what waits in another part is not in its way", service, with(func(c *Circumstances) { c.Pending = GEOPart }), PartialRestore, ServicesPart},
		{"nor bring the active unit's own addresses", service, with(func(c *Circumstances) { c.OwnAddresses = ServicesPart | GEOPart }), ObjectCalls, NoPart},
		{"nor be made without consent", service, with(func(c *Circumstances) { c.MayRestore = false }), ObjectCalls, NoPart},
		{"base is never restored, so parameters need object calls", parameter, standby, ObjectCalls, NoPart},
		{"object calls to a standby only where they were proved to last", parameter, with(func(c *Circumstances) { c.Writes = LastingUnknown }), MethodWait, NoPart},
		{"not where they are rejected", parameter, with(func(c *Circumstances) { c.Writes = Rejected }), MethodWait, NoPart},
		{"not where they are forgotten", parameter, with(func(c *Circumstances) { c.Writes = Forgotten }), MethodWait, NoPart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, part, why := Route(tt.w, tt.c)
			if method != tt.want || part != tt.part || why == "" {
				t.Errorf("got %s %d because %q, want %s %d", method, part, why, tt.want, tt.part)
			}
		})
	}
}

func TestPartsWithOwnAddresses(t *testing.T) {
	var s Snapshot
	if got := PartsWithOwnAddresses(&s); got != ServicesPart|GEOPart {
		t.Errorf("without interfaces: %d", got)
	}
	s.Interfaces = []Interface{{ID: "0", Address: netip.MustParseAddr("10.0.0.4")}}
	s.Put(VirtualServices, []Object{{Class: VirtualServices, ID: "10.0.0.9/80/tcp"}})
	s.Put(GEONames, []Object{{Class: GEONames, ID: "www.example.com", Kids: []Object{{Class: GEOMaps, ID: "10.0.0.4"}}}})
	if got := PartsWithOwnAddresses(&s); got != GEOPart {
		t.Errorf("with one in GEO: %d", got)
	}
}
