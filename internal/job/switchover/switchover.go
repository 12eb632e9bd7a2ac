// Package switchover is the planned move of the active state to the other unit,
// drained where a standby forwards, announced and approved where it does not.
package switchover

import (
	"time"

	"tandem/internal/job"
	"tandem/internal/job/move"
)

// Kind is the word for this job in the record and on the command line.
const Kind = "switchover"

// drain is how long connections may take to end where nothing is said.
const drain = 5 * time.Minute

// Procedure moves the active state to the job's unit, or to the one that stands by
// where none is named. Force overrides the proof that the target is fit, but not
// that it lives, nor what somebody else set in the load balancer.
func Procedure() job.Procedure {
	return job.Procedure{
		Kind: Kind, Title: "move the active state to the other unit without losing a new connection",
		TakesUnit: true, TakesForce: true, TakesDrain: true, Drain: drain,
		Steps: append(move.Steps(move.How{}), move.Verify(), move.Settle()),
	}
}
