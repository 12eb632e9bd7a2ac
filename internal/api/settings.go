package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

// Documents gives what is kept beside a pair's record.
type Documents interface {
	Document(ctx context.Context, name, id string) ([]byte, error)
}

// settingsMost bounds the differences of one answer, and valueMost a value in it.
const (
	settingsMost = 500
	valueMost    = 2000
)

// Settings is the answer to the question how alike the settings of both units are.
type Settings struct {
	V     int    `json:"v"`
	Pair  string `json:"pair"`
	Epoch uint64 `json:"epoch"`
	// ComparedAt is when the newest comparison read both units, zero where there was
	// none. ChangedAt is when a unit said first that something changed since.
	ComparedAt time.Time `json:"comparedAt,omitzero"`
	ChangedAt  time.Time `json:"changedAt,omitzero"`
	// Found counts what differs, and Since is when the oldest of it was seen first. What
	// differs counts at Settles: before, the vendor's own sync has its time.
	Found   pair.SettingsFound `json:"found"`
	Since   time.Time          `json:"since,omitzero"`
	Settles time.Time          `json:"settles,omitzero"`
	// Apart is why the settings must not be taken for alike any more, for longer than
	// the policy allows.
	Apart string `json:"apart,omitempty"`
	// Failures counts comparisons that failed since, and Why is what was in the way.
	Failures int       `json:"failures,omitempty"`
	TriedAt  time.Time `json:"triedAt,omitzero"`
	Why      string    `json:"why,omitempty"`
	// Differences are what differs, the oldest first; More is how many are left out.
	Differences []SettingsDifference `json:"differences"`
	More        int                  `json:"more,omitempty"`
	// Unread are classes that were not read on both units, so that nothing is known of
	// them.
	Unread []string `json:"unread,omitempty"`
	// Past are conflicts that are over, with both values, the newest first; only where
	// they were asked for.
	Past []PastConflict `json:"past,omitempty"`
}

// PastConflict is something that both units had changed, as it was seen last.
type PastConflict struct {
	At time.Time `json:"at"` // when the units were read
	SettingsDifference
}

// SettingsDifference is one thing that is not alike on both units.
type SettingsDifference struct {
	ID    string `json:"id"`
	Class string `json:"class"`
	Path  string `json:"path,omitempty"`  // of the object in its class, outermost first
	Field string `json:"field,omitempty"` // unset for the object as a whole
	// Base is what both had in common last, First and Second what each has now. Unset is
	// nothing.
	Base   string `json:"base,omitempty"`
	First  string `json:"first,omitempty"`
	Second string `json:"second,omitempty"`
	// State is what becomes of it: carry, conflict, ask, held.
	State string `json:"state"`
	// By is the unit that changed it, unknown where both did, and Takes the one whose
	// state is taken, unknown where nobody has decided.
	By    pair.Role `json:"by,omitempty"`
	Takes pair.Role `json:"takes,omitempty"`
	// Chosen is who has decided that, where a person did.
	Chosen string    `json:"chosen,omitempty"`
	Why    string    `json:"why,omitempty"`
	Since  time.Time `json:"since"`
}

// The states of a difference.
const (
	SettingsCarry    = "carry"    // one unit changed it, and the other one is to get it
	SettingsConflict = "conflict" // both changed it
	SettingsAsk      = "ask"      // it waits for a person
	SettingsHeld     = "held"     // something has to be done first
)

// WaitsForPerson reports whether a person's choice ends the wait.
func (d *SettingsDifference) WaitsForPerson() bool {
	return d.Takes == pair.RoleUnknown && (d.State == SettingsConflict || d.State == SettingsAsk)
}

// ChooseAsk is the body with which a person says whose state is right.
type ChooseAsk struct {
	By     string    `json:"by,omitempty" jsonschema_description:"Who says it. Needed unless Entra ID tells that."`
	Reason string    `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night."`
	ID     string    `json:"id" jsonschema_description:"The id of the difference. Another value of the same thing is another difference."`
	Unit   pair.Role `json:"unit" jsonschema_description:"The unit whose state is right."`
}

// Chosen is the answer to that.
type Chosen struct {
	V      int    `json:"v"`
	Pair   string `json:"pair"`
	Change string `json:"change"` // stored, unchanged: it was chosen already
	DryRun bool   `json:"dryRun,omitempty"`
	// Epoch is the pair's after the word.
	Epoch      uint64             `json:"epoch"`
	By         string             `json:"by"`
	Unit       pair.Role          `json:"unit"`
	Difference SettingsDifference `json:"difference"`
}

// chooseWord is the word of the journal for a choice.
const chooseWord = "choose"

// settings answers how alike the settings of a pair's units are.
func (s *server) settings(r *http.Request) (any, error) {
	name := r.PathValue("pair")
	snap, err := s.Store.Load(r.Context(), name)
	if err != nil {
		return nil, err
	}
	out, err := s.settingsOf(r.Context(), &snap)
	if err != nil {
		return nil, err
	}
	if r.URL.Query().Get("past") == "true" && s.Documents != nil {
		if out.Past, err = s.past(r.Context(), &snap, out.Differences); err != nil {
			return nil, err
		}
	}
	if n := len(out.Differences); n > settingsMost {
		out.Differences, out.More = out.Differences[:settingsMost], n-settingsMost
	}
	return out, nil
}

func (s *server) settingsOf(ctx context.Context, snap *pair.Snapshot) (Settings, error) {
	def, rec := &snap.Definition, snap.Record.Settings
	out := Settings{V: Version, Pair: def.Name, Epoch: snap.Record.Epoch, Differences: []SettingsDifference{}}
	if rec == nil {
		return out, nil
	}
	out.ComparedAt, out.ChangedAt, out.Found, out.Since, out.Settles = rec.ComparedAt, rec.ChangedAt, rec.Found, rec.Since, rec.Settles
	out.Failures, out.TriedAt, out.Why, out.Apart = rec.Failures, rec.TriedAt, rec.Why, rec.Apart(def.Sync, s.now())
	if rec.Comparison == "" || s.Documents == nil {
		return out, nil
	}
	c, err := s.comparison(ctx, def.Name, rec.Comparison)
	if err != nil {
		return out, err
	}
	result := c.Result()
	for _, class := range result.Unread {
		out.Unread = append(out.Unread, class.String())
	}
	out.Differences = differencesOf(&result, c, rec)
	return out, nil
}

// past are the conflicts of earlier comparisons that are none any more.
func (s *server) past(ctx context.Context, snap *pair.Snapshot, now []SettingsDifference) ([]PastConflict, error) {
	rec := snap.Record.Settings
	if rec == nil {
		return nil, nil
	}
	var all []PastConflict
	for _, p := range slices.Backward(rec.Past) {
		c, err := s.comparison(ctx, snap.Definition.Name, p.Comparison)
		if errors.Is(err, pair.ErrNotFound) {
			continue // somebody deleted it
		}
		if err != nil {
			return nil, err
		}
		r := c.Result()
		r.Carried, r.Held = nil, nil
		for _, d := range differencesOf(&r, c, rec) {
			known := func(o SettingsDifference) bool { return o.ID == d.ID }
			if !slices.ContainsFunc(now, known) && len(all) < settingsMost {
				all = append(all, PastConflict{At: c.At, SettingsDifference: d})
			}
		}
	}
	return all, nil
}

func (s *server) comparison(ctx context.Context, name, id string) (*settings.Comparison, error) {
	b, err := s.Documents.Document(ctx, name, id)
	if err != nil {
		return nil, fmt.Errorf("read what differs: %w", err)
	}
	var c settings.Comparison
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("read what differs: %w: %w", pair.ErrUnreadable, err)
	}
	return &c, nil
}

// differencesOf are the differences of a comparison, the oldest first. What a person
// chose since is shown as chosen.
func differencesOf(r *settings.Result, c *settings.Comparison, rec *pair.SettingsRecord) []SettingsDifference {
	all := make([]SettingsDifference, 0, len(r.Carried)+len(r.Conflicts)+len(r.Held))
	for _, d := range r.Carried {
		all = append(all, shown(&d.Difference, SettingsDifference{State: SettingsCarry, By: d.From, Takes: d.From}))
	}
	for _, d := range r.Conflicts {
		all = append(all, shown(&d.Difference, SettingsDifference{State: SettingsConflict, Takes: d.Winner, Why: "both units changed it since they were last alike"}))
	}
	for _, d := range r.Held {
		state := SettingsHeld
		if d.Reason.Asks() {
			state = SettingsAsk
		}
		why := d.Reason.Why()
		if d.Detail != "" {
			why += ": " + d.Detail
		}
		all = append(all, shown(&d.Difference, SettingsDifference{State: state, By: d.From, Why: why}))
	}
	for n := range all {
		d := &all[n]
		d.Since = c.Since[d.ID]
		at := slices.IndexFunc(rec.Chosen, func(c pair.SettingsChoice) bool { return c.ID == d.ID })
		if at >= 0 {
			d.Takes, d.Chosen = rec.Chosen[at].Unit, rec.Chosen[at].By
		}
	}
	slices.SortStableFunc(all, func(a, b SettingsDifference) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Field, b.Field))
	})
	return all
}

func shown(d *settings.Difference, as SettingsDifference) SettingsDifference {
	as.ID, as.Class, as.Path, as.Field = d.ID, d.Class.String(), strings.Join(d.Path, " "), d.Field
	as.Base, as.First, as.Second = sightWords(d.Field, d.Base), sightWords(d.Field, d.First), sightWords(d.Field, d.Second)
	return as
}

// sightWords are what a unit has, for people, and not longer than they read.
func sightWords(field string, s settings.Sight) string {
	if s.Object == nil {
		return bounded(fieldWords(field, s.Value))
	}
	return bounded(objectWords(s.Object))
}

func objectWords(o *settings.Object) string {
	words := make([]string, 0, len(o.Fields)+len(o.Kids))
	for _, f := range o.Fields {
		words = append(words, f.Name+"="+fieldWords(f.Name, f.Value))
	}
	for n := range o.Kids {
		k := &o.Kids[n]
		words = append(words, k.Class.String()+" "+k.ID+" ("+objectWords(k)+")")
	}
	if len(words) == 0 {
		return "there"
	}
	return strings.Join(words, ", ")
}

// openSecrets are fields that units show although they open something.
var openSecrets = []string{"community", "password", "passwd", "secret", "presharedkey", "psk"}

// fieldWords are the value of a field. What opens something is not shown.
func fieldWords(name, value string) string {
	secret := slices.ContainsFunc(openSecrets, func(word string) bool { return strings.Contains(name, word) })
	if secret && value != "" {
		return "(not shown)"
	}
	return strings.ReplaceAll(value, "\n", " | ")
}

func bounded(words string) string {
	if len(words) <= valueMost {
		return words
	}
	return strings.ToValidUTF8(words[:valueMost], "") + "…"
}

// choose takes a person's word whose state of one thing is right. It is carried out by
// the next sync. With dryRun=true it only says what would be chosen.
func (s *server) choose(r *http.Request) (any, error) {
	ask, err := readBody[ChooseAsk](r, "choose a unit's settings", "by, reason, id, unit")
	if err != nil {
		return nil, err
	}
	if ask.By, err = byOf(r, ask.By); err != nil {
		return nil, err
	}
	err = checkSpeaker(&ask.By, &ask.Reason)
	if ask.Unit == pair.RoleUnknown {
		err = errors.Join(err, errors.New("unit: expected first or second"))
	}
	if ask.ID == "" {
		err = errors.Join(err, errors.New("id: expected the id of a difference, as tandem conflicts shows it"))
	}
	if err != nil {
		return nil, fmt.Errorf("choose a unit's settings: %w: %w", err, pair.ErrInvalid)
	}
	name, dryRun := r.PathValue("pair"), r.URL.Query().Get("dryRun") == "true"
	return untilFirst("choose settings of", name, func() (Chosen, error) { return s.chooseOnce(r.Context(), name, ask, dryRun) })
}

func (s *server) chooseOnce(ctx context.Context, name string, ask ChooseAsk, dryRun bool) (Chosen, error) {
	snap, _, err := s.load(ctx, name)
	if err != nil {
		return Chosen{}, err
	}
	found, err := s.settingsOf(ctx, &snap)
	if err != nil {
		return Chosen{}, err
	}
	at := slices.IndexFunc(found.Differences, func(d SettingsDifference) bool { return d.ID == ask.ID })
	if at < 0 {
		return Chosen{}, fmt.Errorf("difference %.40s of pair %s, which has %d: %w", ask.ID, name, len(found.Differences), pair.ErrNotFound)
	}
	d, rec := found.Differences[at], &snap.Record
	out := Chosen{V: Version, Pair: name, Change: changeUnchanged, DryRun: dryRun, Epoch: rec.Epoch, By: ask.By, Unit: ask.Unit, Difference: d}
	switch {
	case d.State == SettingsHeld:
		return out, unfitf("no choice ends this: %s", d.Why)
	case d.State == SettingsCarry:
		return out, unfitf("only %s changed it, so there is nothing to choose: change it back on that unit, or let tandem sync carry it", d.By)
	case rec.Settings.Choice(d.ID) == ask.Unit:
		return out, nil
	}
	now, err := rec.Settings.Choose(pair.SettingsChoice{ID: d.ID, Unit: ask.Unit, By: ask.By, At: s.now()})
	if err != nil {
		return out, err
	}
	rec.Settings = now
	rec.Epoch++
	out.Change, out.Epoch = changeStored, rec.Epoch
	out.Difference.Takes, out.Difference.Chosen = ask.Unit, ask.By
	if dryRun {
		return out, nil
	}
	said := pair.Asked{Word: chooseWord, By: ask.By, Reason: ask.Reason, Unit: ask.Unit, Setting: d.what()}
	return out, s.keep(ctx, snap, said, s.now())
}

// checkSync refuses words that no sync knows.
func checkSync(a *pair.JobSync) error {
	if a == nil {
		return nil
	}
	var errs []error
	if p := settings.PreferNobody; a.Prefer != "" && (p.UnmarshalText([]byte(a.Prefer)) != nil || p == settings.PreferNobody) {
		errs = append(errs, fmt.Errorf("sync.prefer %q: expected first, second or active", clip(a.Prefer)))
	}
	for _, name := range a.Only[:min(len(a.Only), settingsMost)] {
		var c settings.Class
		if c.UnmarshalText([]byte(name)) != nil || c.Place() != settings.Synchronised {
			errs = append(errs, fmt.Errorf("sync.only %q: expected a class of settings that is synchronised, as docs/settings.md names them", clip(name)))
		}
	}
	return errors.Join(errs...)
}

// what names a difference with both states, for the journal.
func (d *SettingsDifference) what() string {
	words := strings.Join(strings.Fields(d.Class+" "+d.Path+" "+d.Field), " ")
	return bounded(fmt.Sprintf("%s: %s on first, %s on second (%s)", words, cmp.Or(d.First, "nothing"), cmp.Or(d.Second, "nothing"), d.ID))
}

// Settings tells how alike the settings of a pair's units are.
func (c *Client) Settings(ctx context.Context, name string) (Settings, error) {
	return c.settings(ctx, name, "")
}

// PastSettings tells the same, and the conflicts that are over.
func (c *Client) PastSettings(ctx context.Context, name string) (Settings, error) {
	return c.settings(ctx, name, "?past=true")
}

func (c *Client) settings(ctx context.Context, name, query string) (Settings, error) {
	var out Settings
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/settings"+query, nil, &out)
	return out, err
}

// Choose says whose state of one thing is right.
func (c *Client) Choose(ctx context.Context, name string, a ChooseAsk, dryRun bool) (Chosen, error) {
	var out Chosen
	body, err := json.Marshal(a)
	if err != nil {
		return out, fmt.Errorf("choose a unit's settings: %w: %w", pair.ErrInvalid, err)
	}
	path := "/api/pairs/" + url.PathEscape(name) + "/settings/choices"
	if dryRun {
		path += "?dryRun=true"
	}
	err = c.call(ctx, http.MethodPost, path, body, &out)
	return out, err
}
