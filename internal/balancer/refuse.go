package balancer

// Refusal is one reason why a pair cannot be built as its file says. Nothing is
// written while there is one: Azure would refuse the write, or would take it and
// leave a pair that does not work.
type Refusal struct {
	// Field is the place in the pair file, for example
	// loadBalancers[0].rules[1].port, or the resource of Azure that is in the way.
	Field string `json:"field"`
	// Value is what stands there.
	Value string `json:"value"`
	// Why is the reason, with its source.
	Why string `json:"why"`
	// WayOut says what a person can do about it.
	WayOut string `json:"wayOut"`
}

// String returns the refusal on one line, in the form of an error's text.
func (r Refusal) String() string {
	return r.Field + ": " + r.Value + ": " + r.Why + "; " + r.WayOut
}

// refuse adds a refusal, unless the same was said before: two units often meet
// the same obstacle.
func (c *compilation) refuse(field, value, why, wayOut string) {
	r := Refusal{Field: field, Value: value, Why: why, WayOut: wayOut}
	if !c.said[r] {
		c.said[r] = true
		c.refusals = append(c.refusals, r)
	}
}
