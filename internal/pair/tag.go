package pair

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A tag on the load balancer says what of ours stands on it: for a person in
// the portal, and for a Tandem that lost its store. It is written before the
// admin state and removed after it, so that no admin state of ours stands
// without one.

// TagName is the name of the tag of a pair.
func TagName(pair string) string { return TagPrefix + pair }

// tagSeparator stands between what a tag says of several units.
const tagSeparator = "; also "

// tagOwnerMost keeps what a tag says of two units within the 256 characters that
// Azure allows.
const tagOwnerMost = 40

// tagText writes the admin states of ours on one load balancer as a tag's value.
// What stands in several pools is said once.
func tagText(holds ...AdminHold) string {
	var parts []string
	for _, h := range holds {
		lever := h.Lever
		if lever == LeverNone {
			lever = LeverFence
		}
		owner := strings.ToValidUTF8(h.Owner[:min(len(h.Owner), tagOwnerMost)], "") // no half of a letter
		part := fmt.Sprintf("%s is %s until %s by decision %d (%s) of %s", h.Unit, h.State, h.Deadline.UTC().Format(time.RFC3339), h.Epoch, lever, owner)
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, tagSeparator)
}

// tagOf is the tag for what stands on one load balancer, empty for nothing.
func tagOf(holds []AdminHold, balancer string) string {
	return tagText(slices.DeleteFunc(slices.Clone(holds), func(h AdminHold) bool { return h.LoadBalancer != balancer })...)
}

// readTag reads what tagText wrote, all of it or nothing. What it cannot read was
// written by somebody else, or by another release.
func readTag(text string) []AdminHold {
	var out []AdminHold
	for part := range strings.SplitSeq(text, tagSeparator) {
		h, ok := readTagPart(part)
		if !ok {
			return nil
		}
		out = append(out, h)
	}
	return out
}

func readTagPart(text string) (h AdminHold, ok bool) {
	var unit, state, until, epoch, lever string
	rest := text
	for _, part := range []struct {
		into *string
		end  string
	}{{&unit, " is "}, {&state, " until "}, {&until, " by decision "}, {&epoch, " ("}, {&lever, ") of "}} {
		var found bool
		if *part.into, rest, found = strings.Cut(rest, part.end); !found {
			return h, false
		}
	}
	var errs [5]error
	errs[0] = h.Unit.UnmarshalText([]byte(unit))
	errs[1] = h.State.UnmarshalText([]byte(state))
	h.Deadline, errs[2] = time.Parse(time.RFC3339, until)
	h.Epoch, errs[3] = strconv.ParseUint(epoch, 10, 63)
	errs[4] = h.Lever.UnmarshalText([]byte(lever))
	h.Owner, h.Reason = rest, "read from a tag"
	known := h.Unit != RoleUnknown && (h.State == AdminDown || h.State == AdminUp) && h.Lever != LeverNone
	return h, known && !slices.ContainsFunc(errs[:], func(err error) bool { return err != nil })
}

// Tagged reports whether a load balancer's tag says that an admin state of the
// pair is ours. Without the store it is the best witness: what a process
// remembers may have been taken back by another one, and a person's Down may
// stand in its place.
func Tagged(b *BalancerSeen, pairName string, h AdminHold) bool {
	return !TaggedUntil(b, pairName, h).IsZero()
}

// TaggedUntil is until when a load balancer's tag says that an admin state of the
// pair stands: later than the hold says where another process has renewed it.
// The zero time means that no tag says that it is ours.
func TaggedUntil(b *BalancerSeen, pairName string, h AdminHold) time.Time {
	for _, t := range readTag(b.Tags[TagName(pairName)]) {
		if t.Unit == h.Unit && t.State == h.State {
			return t.Deadline
		}
	}
	return time.Time{}
}

// adopt takes over an admin state that a tag calls ours and that the record
// cannot know, because its epoch is older: the store was lost or is another one.
// Its epoch counts on from there. A tag of an older decision is only left over,
// and an admin state beside it may be a person's.
func (d *Decision) adopt(in *Input) {
	for i := range in.Observation.Balancers {
		b := &in.Observation.Balancers[i]
		tagged := readTag(b.Tags[TagName(in.Definition.Name)])
		if slices.ContainsFunc(tagged, func(h AdminHold) bool { return h.Epoch <= d.Record.Epoch }) || knows(&d.Record, in.Open, b.Name) {
			continue
		}
		epoch := d.Record.Epoch
		for _, h := range tagged {
			for _, p := range b.Pools {
				if adminSeen(&in.Observation, b.Name, p.Name, in.Definition.Units.Of(h.Unit)) == h.State {
					h.LoadBalancer, h.Pool, h.Landed, h.Since = b.Name, p.Name, true, d.At
					d.hold(h)
					epoch, d.Changed = max(epoch, h.Epoch), true
				}
			}
		}
		d.Record.Epoch = epoch
	}
}

// tidy removes a tag of ours that speaks of nothing.
func (d *Decision) tidy(in *Input) {
	for i := range in.Observation.Balancers {
		b := &in.Observation.Balancers[i]
		if readTag(b.Tags[TagName(in.Definition.Name)]) != nil && !knows(&d.Record, in.Open, b.Name) {
			d.tag(in, b.Name, "")
		}
	}
}

// knows reports whether something of ours stands on a load balancer by the
// record, or is about to.
func knows(rec *Record, open []Intent, balancer string) bool {
	return slices.ContainsFunc(rec.Admin, func(h AdminHold) bool { return h.LoadBalancer == balancer }) ||
		slices.ContainsFunc(open, func(i Intent) bool { return i.LoadBalancer == balancer })
}
