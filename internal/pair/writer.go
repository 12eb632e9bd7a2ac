package pair

import "time"

// Rank is how urgent work with Azure is. A higher rank takes a resource from a
// lower one at once: a fence must not wait for a repair, which can be made again
// later. What is sent for a repair waits for the subscription's budget too, and a
// fence never does.
type Rank uint8

// The ranks, lowest first. The zero value is no rank, and may write nothing; what
// it reads waits for nobody, because it may be for a fence.
const (
	RankUnknown Rank = iota
	RankLook         // reads for a pair with which nothing is wrong, and may write nothing
	RankRepair       // brings a resource to what the pair file says
	RankFence        // sets an admin state or takes it back
)

var rankNames = names{"unknown", "look", "repair", "fence"}

func (r Rank) String() string               { return rankNames.text(uint8(r)) }
func (r Rank) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the stored form.
func (r *Rank) UnmarshalText(b []byte) error {
	v, err := rankNames.parse("rank", b)
	*r = Rank(v)
	return err
}

// Writer is the right of one pair to write to one resource that several pairs
// share, such as a load balancer, for a while. A second write would cancel one
// that runs (azure.md 1.9), so there is one writer at a time.
//
// The holder is the pair. Which of its workers speaks for it is the business of
// the pair's own lease (Store.AcquireLease), so another worker of the same pair
// takes over at once, as when it goes on with an operation that a killed one
// began. The generation rises each time; a worker that sees another one is not
// the writer any more, whatever its clock says.
type Writer struct {
	Resource   ResourceID `json:"resource"`
	Owner      string     `json:"owner,omitempty"` // the worker, by a name of its own
	Pair       string     `json:"pair,omitempty"`
	Rank       Rank       `json:"rank,omitempty"`
	Until      time.Time  `json:"until,omitzero"`
	Generation uint64     `json:"generation"`
}

// KeepsOut returns for how long, at the time now, the writer w that stands
// keeps out another one, and 0 if the other may take over. Clocks of workers
// differ, so it stands for skew longer than it says; one that ends later than
// any lease may was taken by a clock that was ahead, and binds nobody.
func (w Writer) KeepsOut(other Writer, now time.Time, skew time.Duration) time.Duration {
	switch {
	case w.Owner == "", other.Rank > w.Rank, other.Rank == w.Rank && other.Pair == w.Pair,
		w.Until.After(now.Add(LeaseMax)):
		return 0
	default:
		return max(w.Until.Add(skew).Sub(now), 0)
	}
}
