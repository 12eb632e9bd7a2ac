package story

import (
	"net"
	"time"
)

// Fate is what becomes of an effect of a process on the outside.
type Fate uint8

// The fates. Whoever does not hear that an effect is done dies of it.
const (
	Happens    Fate = iota // and the process is told
	Fails                  // nothing is done, and the process dies
	Unanswered             // it is done, and the process dies before it knows
)

// OnStore is what every write to the storage account is called, whatever it stores.
const OnStore = "write to the storage account"

// doomedFor is how long a process that is to die may still stand. In virtual time it
// is over when nothing can happen any more without waiting, such as what was sent
// last.
const doomedFor = time.Microsecond

// fate asks what becomes of an effect.
func (p *process) fate(what string) Fate {
	if ask := p.worker.stage.effect; ask != nil {
		return ask(p.worker.machine.Name(), what)
	}
	return Happens
}

// stored lets a write to the storage account through, or not. A process that dies
// of it reaches nobody from here on, but what it has in hand is done.
func (p *process) stored() error {
	switch p.fate(OnStore) {
	case Fails:
		p.doom()
		return net.ErrClosed
	case Unanswered:
		p.doom()
	case Happens:
	}
	return nil
}

// doom has the process die in a moment; until then it reaches nobody any more.
func (p *process) doom() {
	p.mu.Lock()
	p.doomed = true
	p.mu.Unlock()
	time.AfterFunc(doomedFor, p.Kill)
}

// isDoomed reports whether the process is about to die of an effect.
func (p *process) isDoomed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doomed
}
