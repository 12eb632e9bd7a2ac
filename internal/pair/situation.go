package pair

// Situation is what a pair is in, one of a finite set.
type Situation uint8

// The situations. Unclear is the honest rest: what was seen fits none of the
// others, so nothing is done but looking again. A pause and a maintenance are
// no situations but stances: they say what may be done, not what is so.
const (
	Unclear Situation = iota
	Healthy
	Degraded        // one serves, the other is gone
	BothActive      // both serve, and it is not known why
	NoneActive      // neither serves
	Booting         // one was started just now and has not settled
	Unconfigured    // a unit says that HA is not configured
	LinkCut         // both serve although both are set up right: they cannot reach each other
	Unpolled        // unconnected: the load balancer does not poll a unit that lives
	Flapping        // what is seen changes faster than anything can be believed
	Lying           // one answers 200 and does not forward, its partner forwards
	ApplicationDown // one answers 200, but the pair's checks fail and no partner passes them
	Misconfigured   // both live, but role, partner or check port are not as they must be
	VersionMismatch // the units run different firmware
	Blind           // neither is reachable for us, but the load balancer reaches one
)

// Situations lists every situation.
var Situations = []Situation{
	Unclear, Healthy, Degraded, BothActive, NoneActive, Booting, Unconfigured, LinkCut, Unpolled, Flapping, Lying,
	ApplicationDown, Misconfigured, VersionMismatch, Blind,
}

var situationNames = names{
	"unclear", "healthy", "degraded", "both active", "none active", "booting", "unconfigured", "partner link cut", "unconnected",
	"flapping", "probe lying", "application down", "misconfigured", "version mismatch", "blind",
}

func (s Situation) String() string               { return situationNames.text(uint8(s)) }
func (s Situation) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *Situation) UnmarshalText(b []byte) error {
	v, err := situationNames.parse("situation", b)
	*s = Situation(v)
	return err
}

// BothServe reports whether both units answer 200. The two such situations
// differ in what explains them, not in what happens to the traffic, so seeing
// one after the other is seeing the same thing twice.
func (s Situation) BothServe() bool { return s == BothActive || s == LinkCut }

// sameSight reports whether two sights confirm each other.
func sameSight(a, b Situation) bool { return a == b || a.BothServe() && b.BothServe() }
