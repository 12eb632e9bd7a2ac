package story

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
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
	http  *http.Client
	api   *api.Client
	files map[string][]byte // the pair files as they were last edited, by pair
	todo  chan lab.Step
}

func newOperator(world *lab.World) (*operator, error) {
	o := &operator{
		world: world, files: map[string][]byte{}, todo: make(chan lab.Step, operatorTodo),
		http: &http.Client{Transport: &http.Transport{DialContext: world.Worker().DialContext, DisableKeepAlives: true}},
	}
	var err error
	if o.api, err = api.NewClient("http://"+lab.AppName, "", o.http); err != nil {
		return nil, err
	}
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
			if err := o.command(ctx, st.Do, st); err != nil && ctx.Err() == nil {
				o.world.Fail(fmt.Sprintf("the operator cannot %s %s: %v", st.Do, st.Unit, err))
			}
		}
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
	path := "/api/pairs/" + url.PathEscape(st.Unit) + "/" + verb
	switch {
	case verb == "apply":
		return o.apply(ctx, st)
	case verb == "pause" && st.State == everyPair:
		path = "/api/stop"
	case verb == "resume" && st.State == everyPair:
		path = "/api/go"
	}
	return o.post(ctx, path, map[string]string{
		"by": lab.Person.Name, "reason": "story", "for": short(cmp.Or(st.For, operatorFor)),
	})
}

// everyPair is the state of a step that is about all pairs at once.
const everyPair = "all"

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

func (o *operator) post(ctx context.Context, path string, form any) error {
	body, err := json.Marshal(form)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+lab.AppName+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.http.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	_ = resp.Body.Close() // read as far as anybody wants
	if err != nil {
		return fmt.Errorf("POST %s: read the answer: %w", path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("POST %s: status %d: %s", path, resp.StatusCode, strings.TrimSpace(string(answer)))
	}
	return nil
}

// short writes a duration as people do: 10m, not 10m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
