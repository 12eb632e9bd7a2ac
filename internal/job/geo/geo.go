// Package geo brings a topology's GEO lists and clusters about on one pair (section 8
// of the guide). It is begun by the topology, which says what the pair must hold and,
// turn by turn, how far the job may go; meanwhile the pair is the decision table's.
//
// Only the unit that serves is written to. What two pairs do after each other is left
// to control.Topologies.
package geo

import (
	"net/netip"
	"slices"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/move"
	"tandem/internal/pair"
)

// Kind is the word for this job in the record and on the command line.
const Kind = "geo"

const (
	// drain is how long connections may take to end where the unit that serves must be
	// restarted.
	drain = 5 * time.Minute
	// turnWithin is how long a pair waits for its turn: a topology of twenty pairs takes
	// some hours.
	turnWithin = 24 * time.Hour
	// writeWithin is how long a write may take, a failover in the middle included.
	writeWithin = 15 * time.Minute
	// clustersAtOnce are written in one pass: two calls each, of which a unit takes six
	// a second.
	clustersAtOnce = 20
	// clusterTries let the largest topology come about in such parts.
	clusterTries = 20

	noWayBack = "what is written is what the topology asks for, so it stays"
	nothing   = "nothing was changed"
)

// Procedure writes both lists on the unit that serves; restarts first where partners
// are new, so that second takes over; submits the partners there; and then creates and
// deletes clusters. Where second serves it is moved to first beforehand.
func Procedure() job.Procedure {
	steps := []job.Step{
		{Name: "turn-lists", Title: "the topology's pairs are all ready", Within: turnWithin, Do: turn(pair.GEOLists), Undoes: nothing},
		{Name: "lists", Title: "the unit that serves has both lists", Within: writeWithin, Do: lists, Undoes: noWayBack},
		{Name: "turn-restart", Title: "no other pair of the topology is restarted", Within: turnWithin, Do: turnRestart, Undoes: nothing},
		{Name: "aim-first", Title: "it is known which unit serves", Within: writeWithin, Do: aimFirst, Undoes: nothing},
	}
	steps = append(steps, moveTo(pair.First, "back-")...)
	steps = append(steps, job.Step{Name: "aim-second", Title: "first serves", Within: writeWithin, Do: aimSecond, Undoes: nothing})
	steps = append(steps, moveTo(pair.Second, "")...)
	steps = append(steps,
		job.Step{Name: "submit", Title: "the partners are submitted on the unit that serves", Within: writeWithin, Do: submit, Undoes: noWayBack},
		ifRestarted(move.Verify()), ifRestarted(move.Settle()),
		job.Step{Name: "turn-clusters", Title: "the lists of the whole topology are right", Within: turnWithin, Do: turn(pair.GEOClusters), Undoes: nothing},
		job.Step{Name: "clusters", Title: "the clusters are right", Within: writeWithin, Tries: clusterTries, Do: clusters, Undoes: noWayBack},
	)
	return job.Procedure{
		Kind: Kind, Title: "bring the GEO lists and clusters of a topology about", TakesGEO: true, Drain: drain, Steps: steps,
	}
}

// moveTo are the steps of a move. The partners are submitted as soon as the target
// serves, because until then the others find nobody at this site. That second has taken
// over is remembered from that moment on, so that the restart is not made twice.
func moveTo(r pair.Role, prefix string) []job.Step {
	steps := move.Steps(move.How{Prefix: prefix, Needed: func(t *job.Turn) bool { return t.Target() == r }})
	at := slices.IndexFunc(steps, func(s job.Step) bool { return s.Name == prefix+"move" })
	do := steps[at].Do
	steps[at].Do = func(t *job.Turn) job.Verdict {
		v := do(t)
		if w := t.Job.GEO; t.Target() == pair.Second && t.Moved() && !w.Restarted {
			w.Restarted, w.Submitted = true, pair.GEOSubmitted{} // what it had, it has forgotten
		}
		return v
	}
	return slices.Insert(steps, at+1, job.Step{
		Name: prefix + "submit-at-once", Title: "the partners are submitted on the unit that took over", Within: writeWithin, Undoes: noWayBack,
		Do: func(t *job.Turn) job.Verdict {
			if t.Target() != r {
				return job.Skip("the active state need not move")
			}
			return submitted(t, true)
		},
	})
}

// ifRestarted is a step that only a pair needs that was restarted.
func ifRestarted(s job.Step) job.Step {
	do := s.Do
	s.Do = func(t *job.Turn) job.Verdict {
		if t.Target() != pair.Second {
			return job.Skip("first was not restarted")
		}
		return do(t)
	}
	return s
}

// turn waits until the topology lets the job go on.
func turn(to pair.GEOTurn) func(*job.Turn) job.Verdict {
	return func(t *job.Turn) job.Verdict {
		if t.Job.GEO.Turn < to {
			return job.Yield("waits for its turn in topology " + t.Job.GEO.Topology)
		}
		return job.Done("it is its turn")
	}
}

func turnRestart(t *job.Turn) job.Verdict {
	switch w := t.Job.GEO; {
	case !w.Restart:
		return job.Skip("the partners are not new, so that nothing is restarted")
	case w.Restarted:
		return job.Skip("second has taken over")
	}
	return turn(pair.GEORestart)(t)
}

// nobody says why nothing can be written now: the pair is the table's until one unit
// serves.
func nobody() job.Verdict { return job.Yield("exactly one unit must answer 200") }

// held is what the unit that serves holds, and where it is.
func held(t *job.Turn) (r pair.Role, seen *pair.GEOSeen, ok bool) {
	r = t.ServesAlone()
	if r == pair.RoleUnknown {
		return r, nil, false
	}
	t.GEO(r)
	seen, ok = t.HoldsGEO(r)
	return r, seen, ok
}

func write(r pair.Role, w pair.GEOWrite) pair.Intent {
	return pair.Intent{Kind: pair.IntentGEO, Unit: r, GEO: &w}
}

func both(w *pair.GEOWish) pair.GEOWrite {
	return pair.GEOWrite{Lists: true, Access: w.Access, Partners: w.Partners, Submit: len(w.Partners) > 0}
}

func lists(t *job.Turn) job.Verdict {
	r, seen, ok := held(t)
	switch w := t.Job.GEO; {
	case r == pair.RoleUnknown:
		return nobody()
	case !ok:
		return job.Wait(t.Name(r) + " does not tell its GEO lists")
	case seen.Holds(w.Access, w.Partners):
		return job.Done(t.Name(r) + " has both lists")
	default:
		return t.Ask("both lists are written on "+t.Name(r), write(r, both(w)))
	}
}

// aimFirst settles whether the state must move to first before first is restarted.
func aimFirst(t *job.Turn) job.Verdict {
	t.Job.Unit = pair.RoleUnknown
	if w := t.Job.GEO; !w.Restart || w.Restarted {
		return job.Skip("nothing is restarted")
	}
	switch t.ServesAlone() {
	case pair.Second:
		t.Job.Unit = pair.First
		return job.Done("second serves, so that the pair is moved to first before first is restarted")
	case pair.First:
		t.Job.Unit = pair.Second
		return job.Done("first serves")
	default:
		return nobody()
	}
}

func aimSecond(t *job.Turn) job.Verdict {
	if t.Target() == pair.RoleUnknown {
		return job.Skip("nothing is restarted")
	}
	switch t.ServesAlone() {
	case pair.First:
		t.Job.Unit = pair.Second
		return job.Done("first serves")
	case pair.Second:
		return job.Back("aim-first", "second serves again")
	default:
		return nobody()
	}
}

// submit submits the partners on the unit that serves where they are owed there: it
// was said so, second has taken over, or they were submitted on another unit or in
// another life of this one.
func submit(t *job.Turn) job.Verdict {
	w := t.Job.GEO
	return submitted(t, w.Submit || w.Restarted || !w.Submitted.At.IsZero())
}

func submitted(t *job.Turn, owed bool) job.Verdict {
	w := t.Job.GEO
	r, seen, ok := held(t)
	rep, told := t.Told(r)
	switch {
	case len(w.Partners) == 0:
		return job.Skip("it has no partners")
	case r == pair.RoleUnknown:
		return nobody()
	case !ok || !told:
		return job.Wait(t.Name(r) + " does not tell its GEO lists")
	case w.Submitted.On(r, rep.BootedAt) && seen.Holds(w.Access, w.Partners):
		return job.Done("submitted on " + t.Name(r))
	case !owed:
		return job.Skip("they stand as they were submitted")
	default:
		return t.Ask("the partners are submitted on "+t.Name(r), write(r, both(w)))
	}
}

func clusters(t *job.Turn) job.Verdict {
	w := t.Job.GEO
	if len(w.Create)+len(w.Delete) == 0 {
		return job.Skip("no cluster is missing or too many")
	}
	r, seen, ok := held(t)
	switch {
	case r == pair.RoleUnknown:
		return nobody()
	case !ok:
		return job.Wait(t.Name(r) + " does not tell its clusters")
	}
	create := slices.DeleteFunc(slices.Clone(w.Create), seen.HasCluster)
	remove := slices.DeleteFunc(slices.Clone(w.Delete), func(a netip.Addr) bool { return !seen.HasAddress(a) })
	if len(create)+len(remove) == 0 {
		return job.Done("read back from " + t.Name(r))
	}
	return t.Ask("the clusters are right on "+t.Name(r), write(r, pair.GEOWrite{
		Create: create[:min(len(create), clustersAtOnce)], Delete: remove[:min(len(remove), clustersAtOnce)],
	}))
}
