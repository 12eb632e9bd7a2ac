package pair

// Situation is what a pair is in, one of a finite set.
type Situation uint8

// The situations of this release. Unclear is the honest rest: what was seen
// fits none of the others, so nothing is done but looking again.
const (
	Unclear Situation = iota
	Healthy
	Degraded
	BothActive
	NoneActive
	Booting
	Unconfigured
)

// Situations lists every situation.
var Situations = []Situation{Unclear, Healthy, Degraded, BothActive, NoneActive, Booting, Unconfigured}

var situationNames = names{"unclear", "healthy", "degraded", "both active", "none active", "booting", "unconfigured"}

func (s Situation) String() string               { return situationNames.text(uint8(s)) }
func (s Situation) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *Situation) UnmarshalText(b []byte) error {
	v, err := situationNames.parse("situation", b)
	*s = Situation(v)
	return err
}
