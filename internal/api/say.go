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
	why  string
	plan string // the one that waits, for an approval of another
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
// limit of starts and restarts, and the rest of credentials that were refused.
func ack(_ *told, rec *pair.Record) (bool, error) {
	found := rec.Block != nil || len(rec.Moves) > 0
	rec.Block, rec.Moves = nil, nil
	for _, r := range pair.Roles {
		u := &rec.Units[r.Index()]
		found = found || len(u.Powered) > 0 || u.Refusal != nil
		u.Powered, u.Refusal = nil, nil
	}
	if !found {
		return false, unfitf("nothing is blocked or refused and no move is recent, so there is nothing to acknowledge")
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
func (s *server) say(r *http.Request) (any, error) {
	w, name := Word(r.PathValue("word")), r.PathValue("pair")
	if effects[w] == nil {
		return nil, noRoute(r)
	}
	ask, err := readAsk(r, w, s.now())
	if err != nil {
		return nil, err
	}
	dryRun := r.URL.Query().Get("dryRun") == "true"
	for range sayAttempts {
		out, err := s.sayOnce(r.Context(), name, told{word: w, ask: ask, now: s.now()}, dryRun)
		if _, refused := errors.AsType[*unfit](err); err == nil || refused || !overtaken(err) {
			return out, err
		}
	}
	return nil, fmt.Errorf("%s pair %s: it was changed %d times meanwhile, try again: %w", w, name, sayAttempts, pair.ErrConflict)
}

// overtaken reports whether another writer was first, so that nothing of ours
// was stored.
func overtaken(err error) bool {
	return errors.Is(err, pair.ErrConflict) || errors.Is(err, pair.ErrStaleEpoch) || errors.Is(err, pair.ErrLeaseLost)
}

// sayOnce stores the word with a new epoch, so that a pass at work on the older
// one stops before its next effect, and wakes the pair.
func (s *server) sayOnce(ctx context.Context, name string, t told, dryRun bool) (Asked, error) {
	snap, err := s.Store.Load(ctx, name)
	if err != nil {
		return Asked{}, err
	}
	stop, err := s.Store.Stop(ctx)
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
	if _, err := s.Store.Commit(ctx, snap, pair.Change{Record: snap.Record, Outbox: []pair.Post{asked(snap, t)}}); err != nil {
		return Asked{}, err
	}
	s.Log.InfoContext(ctx, "a person asked", "pair", name, "word", string(t.word), "by", t.ask.By, "reason", t.ask.Reason, "epoch", out.Epoch)
	s.wake(ctx, name)
	return out, nil
}

// asked is the journal's entry of a word.
func asked(snap pair.Snapshot, t told) pair.Post {
	return pair.Post{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(snap.Definition.Name, snap.Record.Epoch, 1), Kind: pair.PostJournal,
		At: t.now, Type: pair.EntryAsked, Body: askedBody(t.word, t.ask),
	}
}

func askedBody(w Word, a Ask) json.RawMessage {
	b, err := json.Marshal(pair.Asked{Word: string(w), By: a.By, Reason: a.Reason, Until: a.Until, Unit: a.Unit, Plan: a.Plan})
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
	if err := s.Store.SetStop(ctx, stop, pair.Entry{Kind: pair.EntryAsked, At: now, Body: askedBody(w, ask)}); err != nil {
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
