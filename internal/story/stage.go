package story

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/lab"
	"tandem/internal/lab/host"
	"tandem/internal/store"
	"tandem/internal/vault"
)

// stage is the program's side of a story: its storage account, its workers, and
// its operator, with everything that can happen to them.
type stage struct {
	world    *lab.World
	account  *store.Embedded
	vault    *vault.Memory // the container for backups
	fatal    atomic.Int64  // writes to it of which the process dies
	seed     uint64
	tables   *tables
	gate     store.TableGate // of every process
	effect   func(worker, what string) Fate
	holds    holds
	workers  []*worker
	operator *operator
	busy     sync.WaitGroup // requests in processes, ended ones too
}

// newStage prepares the program's side of a world. Nothing runs yet.
func newStage(world *lab.World, account *store.Embedded, seed uint64) (*stage, error) {
	s := &stage{world: world, account: account, vault: vault.NewMemory(), seed: seed, tables: newTables(seed)}
	s.gate = s.tables.gate
	for _, machine := range world.Workers() {
		w := &worker{stage: s, machine: machine, teller: "tandem"}
		if len(world.Workers()) > 1 {
			w.teller = machine.Name()
		}
		s.workers = append(s.workers, w)
	}
	var err error
	s.operator, err = newOperator(world)
	return s, err
}

// attach starts the function app with the program in it.
func (s *stage) attach(functions fs.FS) error {
	var others []host.Launcher
	for _, w := range s.workers[1:] {
		others = append(others, w)
	}
	return s.world.Attach(lab.Program{
		App: functions, Queues: queues{s.account}, Settings: map[string]string{"AzureWebJobsStorage": "UseDevelopmentStorage=true"},
		Launcher: s.workers[0], Others: others, Do: s.do,
	})
}

// lingerMax is longer than anything that a killed process may still do here: a
// pass of 20 s and the two in which it gives its lease back.
const lingerMax = time.Minute

// linger waits until nothing runs any more of processes that have all been
// killed. In virtual time nobody may be left behind.
func (s *stage) linger() error {
	idle := make(chan struct{})
	go func() {
		s.busy.Wait()
		close(idle)
	}()
	most := time.NewTimer(lingerMax)
	defer most.Stop()
	select {
	case <-idle:
		return nil
	case <-most.C:
		return fmt.Errorf("the program is still at work %v after its end", lingerMax)
	}
}

// do lets a step happen that is the program's own.
func (s *stage) do(st lab.Step) error {
	switch st.Do {
	case "store-down":
		s.tables.setDown()
	case "store-readonly":
		s.tables.setReadOnly()
	case "store-up":
		s.tables.heal()
	case "store-slow":
		s.tables.setLate(st.Late)
	case "store-fails":
		s.tables.failNext(max(st.Times, 1))
	case "newer-record":
		return s.account.MarkRecord(cmp.Or(st.Unit, pairName), newerReader)
	case "kill-after-backup":
		s.fatal.Add(1)
	case "freeze-before-write":
		return s.hold(st)
	case "freeze", "clock":
		w, err := s.worker(st.Unit)
		if err != nil {
			return err
		}
		if st.Do == "freeze" {
			w.freeze(st.For)
		} else {
			w.stepClock(st.For)
		}
	default:
		return s.operator.begin(st)
	}
	return nil
}

// newerReader is a version of which no release of ours is a reader.
const newerReader = 99

// worker finds a worker, the first where no name is given.
func (s *stage) worker(name string) (*worker, error) {
	i := slices.IndexFunc(s.workers, func(w *worker) bool { return name == "" || w.machine.Name() == name })
	if i < 0 {
		return nil, fmt.Errorf("no worker is called %q", name)
	}
	return s.workers[i], nil
}

func (s *stage) hold(st lab.Step) error {
	if _, err := s.worker(st.Unit); err != nil {
		return err
	}
	for range max(st.Times, 1) {
		s.holds.add(hold{worker: st.Unit, method: st.State, lasts: st.For})
	}
	return nil
}

// holds are the writes that are to find their worker frozen.
type holds struct {
	mu   sync.Mutex // guards next
	next []hold
}

type hold struct {
	worker, method string // empty for any
	lasts          time.Duration
}

func (h *holds) add(one hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = append(h.next, one)
}

// take says how long a write of a worker is held, if it is.
func (h *holds) take(worker, method string) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.next, func(one hold) bool {
		return (one.worker == "" || one.worker == worker) && (one.method == "" || strings.EqualFold(one.method, method))
	})
	if i < 0 {
		return 0, false
	}
	lasts := h.next[i].lasts
	h.next = slices.Delete(h.next, i, i+1)
	return lasts, true
}
