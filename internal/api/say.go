package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tandem/internal/pair"
)

// sayAttempts is how often a word is said again when a pass changed the pair
// meanwhile. A pass changes it a few times within a second or two, and each
// attempt reads it anew.
const sayAttempts = 10

// wakeAtOnce is how many pairs one message names.
const wakeAtOnce = 50

// unfit is a word that does not fit how things stand. It is of the kind
// pair.ErrConflict, and nothing was stored.
type unfit struct {
	why   string
	plan  string // the one that waits, for an approval of another
	job   string // the one that runs, for another
	gives bool   // and gives way
}

func (u *unfit) Error() string        { return u.why }
func (u *unfit) Is(target error) bool { return target == pair.ErrConflict }

func unfitf(format string, args ...any) error { return &unfit{why: fmt.Sprintf(format, args...)} }

// told is a word on its way into a record.
type told struct {
	word   Word
	ask    Ask
	now    time.Time
	stance pair.Stance
}

func (t *told) request() *pair.Request {
	return &pair.Request{By: t.ask.By, Reason: t.ask.Reason, At: t.now}
}

// effects change a record as a word says, and report whether it was not so
// already.
var effects = map[Word]func(*told, *pair.Record) (bool, error){
	Pause:   pause,
	Resume:  resume,
	Approve: approve,
	Ack:     ack,
	Prove:   prove,
	BackUp:  backUp,
	Apply:   apply,
	Remove:  remove,
}

func pause(t *told, rec *pair.Record) (bool, error) {
	rec.Pause = &pair.Pause{Owner: t.ask.By, Unit: t.ask.Unit, Reason: t.ask.Reason, Until: t.ask.Until}
	return true, nil
}

func resume(t *told, rec *pair.Record) (bool, error) {
	stood := rec.Pause.In(t.now)
	rec.Pause = nil
	return stood, nil
}

// approve takes a person's word for exactly the plan that waits. It is no use
// where nothing would be done, so it is refused there.
func approve(t *told, rec *pair.Record) (bool, error) {
	switch {
	case rec.Plan == nil:
		return false, unfitf("no plan waits, so there is nothing to approve; tandem explain says how things stand")
	case rec.Plan.Hash != t.ask.Plan:
		return false, &unfit{plan: rec.Plan.Hash, why: fmt.Sprintf(
			"the plan that waits is %s (row %s), not %s: look at it before you approve it", rec.Plan.Hash, rec.Plan.Row, t.ask.Plan)}
	case t.stance < pair.StanceRecommend:
		return false, &unfit{plan: rec.Plan.Hash, why: "nothing would be done: the stance is " + t.stance.String()}
	}
	plan := *rec.Plan
	plan.Approved = t.request()
	rec.Plan = &plan
	t.ask.Until = t.now.Add(pair.ApprovedFor)
	return true, nil
}

// ack ends everything that waits for a person to look: the block, hold-down, the
// limit of starts and restarts, the rest of credentials that were refused, and the
// alarm of a job that failed; and what a person cancelled that Tandem had begun by
// itself may begin again.
func ack(_ *told, rec *pair.Record) (bool, error) {
	found := rec.Block != nil || len(rec.Moves) > 0
	rec.Block, rec.Moves = nil, nil
	for _, r := range pair.Roles {
		u := &rec.Units[r.Index()]
		found = found || len(u.Powered) > 0 || u.Refusal != nil
		u.Powered, u.Refusal = nil, nil
	}
	if rec.Job.Unheeded() {
		found = true
		rec.Job = rec.Job.Clone()
		rec.Job.Acknowledged = true
	}
	if !found {
		return false, unfitf("nothing is blocked or refused, no move is recent and no job has failed, so there is nothing to acknowledge")
	}
	return true, nil
}

// prove asks for the lever proof, which a pass makes when the pair is healthy.
func prove(t *told, rec *pair.Record) (bool, error) {
	if t.stance == pair.StancePaused || t.stance == pair.StanceMaintenance {
		return false, unfitf("the lever cannot be proved now: the stance is %s, resume first", t.stance)
	}
	for _, h := range rec.Admin {
		if h.Lever == pair.LeverProve {
			return false, nil // it is being proved
		}
	}
	if rec.Prove != nil {
		return false, nil
	}
	rec.Prove = t.request()
	return true, nil
}

func remove(t *told, rec *pair.Record) (bool, error) {
	if rec.Retire != nil {
		return false, nil
	}
	rec.Retire = t.request()
	return true, nil
}

// say takes a person's word about one pair. With dryRun=true it only says what
// would happen.
func (s *server) say(w Word) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		ask, err := readAsk(r, w, s.now())
		if err != nil {
			return nil, err
		}
		name, dryRun := r.PathValue("pair"), r.URL.Query().Get("dryRun") == "true"
		return untilFirst(string(w)+" pair", name, func() (Asked, error) {
			return s.sayOnce(r.Context(), name, told{word: w, ask: ask, now: s.now()}, dryRun)
		})
	}
}

// untilFirst tries to be the one that changes a pair, anew each time that another
// writer was first.
func untilFirst[T any](what, name string, once func() (T, error)) (any, error) {
	for range sayAttempts {
		out, err := once()
		if err == nil {
			return out, nil
		}
		if _, refused := errors.AsType[*unfit](err); refused || !overtaken(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s %s: it was changed %d times meanwhile, try again: %w", what, name, sayAttempts, pair.ErrConflict)
}

// overtaken reports whether another writer was first, so that nothing of ours
// was stored.
func overtaken(err error) bool {
	return errors.Is(err, pair.ErrConflict) || errors.Is(err, pair.ErrStaleEpoch) || errors.Is(err, pair.ErrLeaseLost)
}

// load reads a pair, and whether all of them are paused.
func (s *server) load(ctx context.Context, name string) (pair.Snapshot, *pair.Pause, error) {
	snap, err := s.Store.Load(ctx, name)
	if err != nil {
		return snap, nil, err
	}
	stop, err := s.Store.Stop(ctx)
	return snap, stop, err
}

// sayOnce changes the record as the word says.
func (s *server) sayOnce(ctx context.Context, name string, t told, dryRun bool) (Asked, error) {
	snap, stop, err := s.load(ctx, name)
	if err != nil {
		return Asked{}, err
	}
	if snap.Record.Retire != nil && t.word != Remove {
		return Asked{}, unfitf("pair %s is being removed, as %s asked", name, snap.Record.Retire.By)
	}
	t.stance, _ = s.stance(snap, stop)
	changed, err := effects[t.word](&t, &snap.Record)
	if err != nil {
		return Asked{}, err
	}
	out := Asked{
		V: Version, Word: t.word, Pair: name, Change: changeUnchanged, DryRun: dryRun, Epoch: snap.Record.Epoch,
		By: t.ask.By, Until: t.ask.Until, Plan: t.ask.Plan, Stance: s.stanceWords(snap, stop),
	}
	if !changed {
		return out, nil
	}
	snap.Record.Epoch++
	out.Change, out.Epoch = changeStored, snap.Record.Epoch
	if dryRun {
		return out, nil
	}
	return out, s.keep(ctx, snap, askedOf(t.word, t.ask), t.now)
}

// keep stores what a person said in the record, whose epoch is a new one by then,
// so that a pass at work on the older one stops before its next effect; and wakes
// the pair.
func (s *server) keep(ctx context.Context, snap pair.Snapshot, said pair.Asked, at time.Time) error {
	name, epoch := snap.Definition.Name, snap.Record.Epoch
	entry := pair.Post{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(name, epoch, 1), Kind: pair.PostJournal,
		At: at, Type: pair.EntryAsked, Body: askedBody(said),
	}
	if _, err := s.Store.Commit(ctx, snap, pair.Change{Record: snap.Record, Outbox: []pair.Post{entry}}); err != nil {
		return err
	}
	log := []any{"pair", name, "word", said.Word, "by", said.By, "reason", said.Reason, "epoch", epoch}
	if said.Job != "" {
		log = append(log, "job", said.Job, "force", said.Force)
	}
	s.Log.InfoContext(ctx, "a person asked", log...)
	s.wake(ctx, name)
	return nil
}

func askedOf(w Word, a Ask) pair.Asked {
	return pair.Asked{Word: string(w), By: a.By, Reason: a.Reason, Until: a.Until, Unit: a.Unit, Plan: a.Plan}
}

// askedBody is the journal's form of a word.
func askedBody(said pair.Asked) json.RawMessage {
	b, err := json.Marshal(said)
	if err != nil {
		panic("api: a word that cannot be written: " + err.Error()) // its times are within a year
	}
	return b
}

// stop pauses every pair, and wakes them, so that each takes back what is ours.
func (s *server) stop(r *http.Request) (any, error) { return s.stopOrGo(r, Stop) }

// start ends that.
func (s *server) start(r *http.Request) (any, error) { return s.stopOrGo(r, Go) }

func (s *server) stopOrGo(r *http.Request, w Word) (any, error) {
	now := s.now()
	ask, err := readAsk(r, w, now)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	was, err := s.Store.Stop(ctx)
	if err != nil {
		return nil, err
	}
	out := Asked{V: Version, Word: w, Change: changeStored, DryRun: r.URL.Query().Get("dryRun") == "true", By: ask.By, Until: ask.Until}
	var stop *pair.Pause
	switch {
	case w == Stop:
		stop = &pair.Pause{Owner: ask.By, Reason: ask.Reason, Until: ask.Until}
	case was == nil:
		out.Change = changeUnchanged
		return out, nil
	}
	if out.DryRun {
		return out, nil
	}
	if err := s.Store.SetStop(ctx, stop, pair.Entry{Kind: pair.EntryAsked, At: now, Body: askedBody(askedOf(w, ask))}); err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "a person asked", "pair", "all", "word", string(w), "by", ask.By, "reason", ask.Reason)
	s.wakeAll(ctx)
	return out, nil
}

// wakeAll has every pair looked at now. What fails waits for the sweep.
func (s *server) wakeAll(ctx context.Context) {
	var batch []string
	for name, err := range s.Store.Pairs(ctx) {
		if err != nil {
			s.Log.WarnContext(ctx, "the pairs wait for the sweep", "error", err.Error())
			return
		}
		if batch = append(batch, name); len(batch) == wakeAtOnce {
			s.wake(ctx, batch...)
			batch = nil
		}
	}
	if len(batch) > 0 {
		s.wake(ctx, batch...)
	}
}
