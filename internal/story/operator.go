package story

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/pair"
)

const (
	// operatorPatience is how long the operator waits for an answer.
	operatorPatience = 30 * time.Second
	// operatorFor is how long a pause lasts where a story does not say.
	operatorFor = 10 * time.Minute
	// operatorTodo is how many commands may wait for those before them.
	operatorTodo = 100
)

// operator is the person who defines the pairs and gives commands, one after
// the other, through the operator API.
type operator struct {
	world *lab.World
	api   *api.Client
	files map[string][]byte // the pair files as they were last edited, by pair
	todo  chan lab.Step
}

func newOperator(world *lab.World) (*operator, error) {
	client, err := api.NewClient("http://"+lab.AppName, "", &http.Client{
		Transport: &http.Transport{DialContext: world.Worker().DialContext, DisableKeepAlives: true},
	})
	if err != nil {
		return nil, err
	}
	o := &operator{world: world, api: client, files: map[string][]byte{}, todo: make(chan lab.Step, operatorTodo)}
	for _, f := range world.PairFiles() {
		o.files[f.Name] = f.YAML
	}
	return o, nil
}

// run defines the pairs as soon as the app answers, and then does what the
// story says until ctx ends. A command that fails, fails the story.
func (o *operator) run(ctx context.Context) error {
	if err := o.define(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case st := <-o.todo:
			if err := o.command(ctx, st.Do, st); ctx.Err() == nil {
				o.answered(st, err)
			}
		}
	}
}

// answered compares the answer to a command with what the story expects.
func (o *operator) answered(st lab.Step, err error) {
	switch {
	case st.Refused && err == nil:
		o.world.Fail(fmt.Sprintf("%s %s was not refused, as the story expects", st.Do, st.Unit))
	case st.Refused && errors.Is(err, pair.ErrConflict):
		o.world.Log("operator", "is refused: "+err.Error())
	case err != nil:
		o.world.Fail(fmt.Sprintf("the operator cannot %s %s: %v", st.Do, st.Unit, err))
	}
}

// begin leaves a command for the operator to do.
func (o *operator) begin(st lab.Step) error {
	select {
	case o.todo <- st:
		return nil
	default:
		return fmt.Errorf("the operator has %d commands to do already", operatorTodo)
	}
}

func (o *operator) define(ctx context.Context) error {
	time.Sleep(time.Second + 7*time.Microsecond) // the host is ready by then
	for _, f := range o.world.PairFiles() {
		if err := o.defineOne(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) defineOne(ctx context.Context, f lab.PairFile) error {
	var err error
	for range 50 {
		if _, err = o.api.Apply(ctx, f.Name, f.YAML, false); err == nil {
			o.world.Log("operator", "applies the pair file of "+f.Name)
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil // the story was stopped
		}
	}
	return fmt.Errorf("apply the story's pair file of %s: %w", f.Name, err)
}

// command does one of the operator's verbs.
func (o *operator) command(ctx context.Context, verb string, st lab.Step) error {
	ctx, cancel := context.WithTimeout(ctx, operatorPatience)
	defer cancel()
	switch verb {
	case "apply":
		return o.apply(ctx, st)
	case "write":
		return o.write(ctx, st.Unit)
	case "switchover":
		return o.job(ctx, "switchover", st)
	case "set-up":
		return o.job(ctx, "configure", st)
	case "restore":
		return o.restore(ctx, st)
	case "replace":
		return o.job(ctx, "replace", st)
	case "geo-apply", "geo-cancel":
		return o.topology(ctx, st)
	case "sync":
		return o.sync(ctx, st)
	case "choose":
		return o.choose(ctx, st)
	case "consent":
		return o.sayJob(ctx, pair.JobApprove, st.Unit)
	case "cancel":
		return o.sayJob(ctx, pair.JobCancel, st.Unit)
	}
	word, name, ask := api.Word(verb), st.Unit, api.Ask{By: lab.Person.Name}
	if st.State == everyPair {
		word, name = everyPairs[word], ""
	}
	switch word {
	case api.Pause, api.Stop:
		ask.Reason, ask.For = "story", pair.Duration(cmp.Or(st.For, operatorFor))
	case api.Remove:
		ask.Reason = "story"
	case api.Approve:
		shown, err := o.api.Pair(ctx, name)
		if err != nil {
			return err
		}
		if shown.Plan == nil {
			return errors.New("no plan waits")
		}
		ask.Plan = shown.Plan.Hash
	default: // the others take nothing besides
	}
	if (word == api.Pause || word == api.BackUp) && st.State != "" {
		if err := ask.Unit.UnmarshalText([]byte(st.State)); err != nil {
			return err
		}
	}
	_, err := o.api.Ask(ctx, word, name, ask, false)
	return err
}

// everyPair is the state of a step that is about all pairs at once.
const everyPair = "all"

// everyPairs are the words for all pairs at once, by those for one.
var everyPairs = map[api.Word]api.Word{api.Pause: api.Stop, api.Resume: api.Go}

// apply edits the pair file and applies it; the next edit builds on this one.
func (o *operator) apply(ctx context.Context, st lab.Step) error {
	file, err := lab.ChangedPairFile(o.files[st.Unit], st.Set)
	if err != nil {
		return err
	}
	if _, err := o.api.Apply(ctx, st.Unit, file, false); err != nil {
		return err
	}
	o.files[st.Unit] = file
	return nil
}

// job starts a job of a kind.
func (o *operator) job(ctx context.Context, kind string, st lab.Step) error {
	start := api.JobStart{Kind: kind, By: lab.Person.Name, Reason: "story", Drain: pair.Duration(st.For)}
	if st.State != "" {
		if err := start.Unit.UnmarshalText([]byte(st.State)); err != nil {
			return err
		}
	}
	_, err := o.api.StartJob(ctx, st.Unit, start, "", false)
	return err
}

// restore has the newest backup of a unit restored on it.
func (o *operator) restore(ctx context.Context, st lab.Step) error {
	ask := api.RestoreAsk{By: lab.Person.Name, Reason: "story"}
	if err := ask.Unit.UnmarshalText([]byte(st.State)); err != nil {
		return err
	}
	list, err := o.api.Backups(ctx, st.Unit)
	if err != nil {
		return err
	}
	for _, b := range list.Backups {
		if b.Unit == ask.Unit {
			ask.Backup = b.ID
			_, err := o.api.Restore(ctx, st.Unit, ask, "", false)
			return err
		}
	}
	return fmt.Errorf("no backup of %s is kept", st.State)
}

// sync starts the job that makes settings alike.
func (o *operator) sync(ctx context.Context, st lab.Step) error {
	start := api.JobStart{Kind: "sync", By: lab.Person.Name, Reason: "story"}
	if st.State != "" {
		start.Sync = &pair.JobSync{Prefer: st.State}
	}
	_, err := o.api.StartJob(ctx, st.Unit, start, "", false)
	return err
}

// choose takes a unit's state for all that waits for a person.
func (o *operator) choose(ctx context.Context, st lab.Step) error {
	var ask api.ChooseAsk
	if err := ask.Unit.UnmarshalText([]byte(st.State)); err != nil {
		return err
	}
	found, err := o.api.Settings(ctx, st.Unit)
	if err != nil {
		return err
	}
	ask.By, ask.Reason = lab.Person.Name, "story"
	for _, d := range found.Differences {
		if d.State != "conflict" && d.State != "ask" {
			continue
		}
		ask.ID = d.ID
		if _, err := o.api.Choose(ctx, st.Unit, ask, false); err != nil {
			return err
		}
	}
	return nil
}

// sayJob says a word about the job that the server shows now.
func (o *operator) sayJob(ctx context.Context, word, name string) error {
	shown, err := o.api.Job(ctx, name)
	if err != nil {
		return err
	}
	if shown.Job == nil {
		return errors.New("there is no job")
	}
	_, err = o.api.SayJob(ctx, word, name, api.JobAsk{Job: shown.Job.ID, By: lab.Person.Name}, false)
	return err
}

// write has exactly the plan written that the server shows now.
func (o *operator) write(ctx context.Context, name string) error {
	shown, err := o.api.PlanPair(ctx, name)
	switch {
	case err != nil:
		return err
	case len(shown.Refusals) > 0:
		return errors.New("there is no plan: " + shown.Refusals[0].String())
	case shown.Plan.Empty():
		return errors.New("there is nothing to write")
	}
	_, err = o.api.Ask(ctx, api.Apply, name, api.Ask{By: lab.Person.Name, Plan: shown.Plan.Hash}, false)
	return err
}
