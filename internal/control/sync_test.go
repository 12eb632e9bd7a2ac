package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/control"
	"tandem/internal/job"
	"tandem/internal/job/sync"
	"tandem/internal/pair"
	"tandem/internal/settings"
	"tandem/internal/store"
	"tandem/internal/vault"
)

var _ control.Documents = (*store.Store)(nil)

// configured is a pair whose units have settings: parameters, which are fields of one
// object, and hosts, which are objects.
type configured struct {
	*world
	worker *control.Controller

	mu      gosync.Mutex
	motd    [2]string
	hosts   [2]map[string]string // addresses to names
	changed [2]time.Time
	serial  [2]string
	reads   int
	wrote   []string
	readErr error
	takes   time.Duration // each reading
	onRead  func()
	// standby says what becomes of writes to the second unit, and vendor has the units
	// synchronise by themselves, from first to second.
	standby pair.StandbyWrites
	vendor  bool
	memory  *vault.Memory
}

func newConfigured(t *testing.T, change ...func(*pair.Definition)) *configured {
	t.Helper()
	c := &configured{world: newWorld(t, append([]func(*pair.Definition){believing}, change...)...), memory: vault.NewMemory()}
	for u := range c.hosts {
		c.motd[u], c.hosts[u] = "hello", map[string]string{"192.0.2.1": "one", "192.0.2.2": "two"}
		c.changed[u], c.serial[u] = time.Now().Add(-time.Hour), fmt.Sprint(1000+u)
	}
	c.worker = c.works(&effects{})
	return c
}

// works is a worker over the units' settings.
func (c *configured) works(fx *effects) *control.Controller {
	return c.controller(fx, func(o *control.Options) {
		o.Units = counted{told{o.Units, running}, c}
		o.Settings, o.Documents, o.Jobs = &setter{c, fx}, &shelf{c.store, fx}, syncs(c.t)
		o.Backups, o.Copies = c.memory.Vault(nil), &saver{c, fx}
	})
}

func syncs(t testing.TB) *job.Registry {
	r, err := job.NewRegistry(sync.Procedure())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// setter, shelf and saver are a worker's ways to the settings, to their documents and to
// backups. Their writes are effects.
type setter struct {
	*configured
	fx *effects
}

func (s *setter) WriteSettings(ctx context.Context, u pair.Unit, writes []settings.Write) (int, error) {
	var done int
	var refused error
	err := s.fx.do(ctx, "write settings", func(context.Context) error {
		done, refused = s.configured.WriteSettings(ctx, u, writes)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return done, refused
}

type shelf struct {
	*store.Store
	fx *effects
}

func (s *shelf) PutDocument(ctx context.Context, name, id string, doc []byte) error {
	return s.fx.do(ctx, "keep document", func(ctx context.Context) error { return s.Store.PutDocument(ctx, name, id, doc) })
}

func (s *shelf) DeleteDocument(ctx context.Context, name, id string) error {
	return s.fx.do(ctx, "delete document", func(ctx context.Context) error { return s.Store.DeleteDocument(ctx, name, id) })
}

type saver struct {
	*configured
	fx *effects
}

func (s *saver) Backup(_ context.Context, u pair.Unit, w io.Writer) error {
	_, err := io.WriteString(w, "settings of "+u.VM)
	return err
}

func (s *saver) Restore(ctx context.Context, u pair.Unit, _ io.Reader, parts int) error {
	return s.fx.do(ctx, "restore", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wrote = append(s.wrote, fmt.Sprintf("%s restore %d", u.VM, parts))
		return nil
	})
}

// counted adds to a report when the unit's settings changed.
type counted struct {
	control.Units
	of *configured
}

func (u counted) Report(ctx context.Context, unit pair.Unit) (pair.Report, error) {
	r, err := u.Units.Report(ctx, unit)
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	r.ChangedAt = u.of.changed[indexOf(unit)].UTC().Truncate(time.Second)
	return r, err
}

func indexOf(u pair.Unit) int {
	if u.Address == secondAddr {
		return 1
	}
	return 0
}

// edit changes a unit's settings, as a person does.
func (c *configured) edit(r pair.Role, change func(motd *string, hosts map[string]string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := r.Index()
	change(&c.motd[n], c.hosts[n])
	c.changed[n] = time.Now()
}

func (c *configured) ReadSettings(_ context.Context, u pair.Unit, _ ...settings.Class) (settings.Snapshot, error) {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := indexOf(u)
	c.reads++
	if c.onRead != nil {
		c.onRead()
	}
	s := settings.Snapshot{
		Origin:     settings.Origin{Serial: c.serial[n], Firmware: running},
		Interfaces: []settings.Interface{{ID: "0", Address: [2]netip.Addr{firstAddr, secondAddr}[n]}},
	}
	parameters := settings.Object{Class: settings.Parameters}
	if c.motd[n] != "" {
		parameters.Fields = []settings.Field{{Name: "motd", Value: c.motd[n]}}
	}
	s.Put(settings.Parameters, []settings.Object{parameters})
	var hosts []settings.Object
	for address, name := range c.hosts[n] {
		hosts = append(hosts, settings.Object{Class: settings.Hosts, ID: address, Fields: []settings.Field{{Name: "fqdn", Value: name}}})
	}
	s.Put(settings.Hosts, hosts)
	return s, c.readErr
}

func (c *configured) WriteSettings(_ context.Context, u pair.Unit, writes []settings.Write) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := indexOf(u)
	for done, w := range writes {
		if n == 1 && c.standby == pair.StandbyRejects {
			return done, fmt.Errorf("write it: %w", settings.ErrStandbyRejects)
		}
		c.wrote = append(c.wrote, u.VM+" "+w.String())
		if strings.Contains(w.String(), "bad") {
			return done, fmt.Errorf("write it: %w", pair.ErrInvalid)
		}
		for _, f := range w.Fields() {
			if w.Class() == settings.Parameters {
				c.motd[n] = f.Value
			} else {
				c.hosts[n][w.Path()[0]] = f.Value
			}
		}
		switch w.Verb() {
		case settings.Delete:
			delete(c.hosts[n], w.Path()[0])
		case settings.Add, settings.Modify, settings.VerbNone:
		}
		c.changed[n] = time.Now()
	}
	return len(writes), nil
}

// synchronise is what the units do by themselves every two minutes.
func (c *configured) synchronise() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.vendor || c.standby == pair.StandbyForgets {
		c.motd[1], c.hosts[1] = c.motd[0], maps.Clone(c.hosts[0])
		if !c.vendor {
			c.motd[1] = "as before"
		}
		c.changed[1] = time.Now()
	}
}

// begins has a person begin a sync.
func (c *configured) begins(with *pair.JobSync) {
	c.t.Helper()
	snap := c.load()
	j, err := syncs(c.t).New(job.Request{ID: pair.ID(edge, snap.Record.Epoch+1, 1), Kind: sync.Kind, By: "ann", At: time.Now(), Sync: with}, &snap.Definition)
	if err != nil {
		c.t.Fatal(err)
	}
	c.amend(func(rec *pair.Record) { rec.Job = &j })
}

// works on until the job is over.
func (c *configured) finishes(within time.Duration) pair.Job {
	c.t.Helper()
	began := time.Now()
	for time.Since(began) < within && c.load().Record.Job.Running() {
		if err := c.worker.Pass(c.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if int(time.Since(began)/(10*time.Second))%12 == 11 {
			c.synchronise()
		}
	}
	return *c.load().Record.Job
}

// steps are how the steps of a job ended.
func stepsOf(j *pair.Job) string {
	var b strings.Builder
	for _, s := range j.Steps {
		fmt.Fprintf(&b, "%s %s: %s\n", s.Name, s.State, s.Note)
	}
	return b.String()
}

// looks makes passes of a sweep, 15 s apart.
func (c *configured) looks(d time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(15 * time.Second) {
		if err := c.worker.Pass(c.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *configured) record() pair.SettingsRecord {
	c.t.Helper()
	s := c.load().Record.Settings
	if s == nil {
		c.t.Fatal("settings were never compared")
	}
	return *s
}

func observing(d *pair.Definition) { d.Mode = pair.Observe }

func TestSettingsAreComparedOnceAndThenByTheirCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing)
		c.looks(3 * time.Minute)
		if c.reads != 0 {
			t.Fatalf("%d readings before the pair was well for %v", c.reads, pair.VendorSyncTakes)
		}
		c.looks(3 * time.Minute)
		if got := c.record(); c.reads != 2 || got.Found.Differences() != 0 || !got.Since.IsZero() || got.Base == "" || got.Comparison == "" {
			t.Fatalf("%d readings: %+v", c.reads, got)
		}
		before := c.load().Version
		c.looks(12 * time.Hour)
		if c.reads != 2 || c.load().Version != before {
			t.Errorf("%d readings of a pair that did not change", c.reads)
		}
		c.looks(13 * time.Hour)
		if c.reads != 4 {
			t.Errorf("%d readings in a day: a counter may be wrong", c.reads)
		}
	})
}

func TestADifferenceIsSeenAtOnceAndCountsAfterTheVendorsSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing)
		c.looks(6 * time.Minute)
		c.edit(pair.First, func(motd *string, hosts map[string]string) { *motd = "changed"; delete(hosts, "192.0.2.1") })
		c.looks(30 * time.Second)
		got := c.record()
		if want := (pair.SettingsFound{ToSecond: 2, Unread: got.Found.Unread}); got.Found != want || got.Since.IsZero() || got.Settled() {
			t.Fatalf("found %+v, since %v, settled %v", got.Found, got.Since, got.Settled())
		}
		c.looks(5 * time.Minute)
		if got := c.record(); !got.Settled() || c.reads != 6 {
			t.Errorf("settled %v after %d readings", got.Settled(), c.reads)
		}
		if alarm := c.load().Record.Alarm; alarm != nil {
			t.Errorf("alarm %+v", alarm)
		}
		c.looks(time.Hour)
		if alarm := c.load().Record.Alarm; alarm == nil || alarm.Row != "settings-differ" {
			t.Errorf("alarm %+v after an hour", alarm)
		}
		c.edit(pair.Second, func(motd *string, hosts map[string]string) { *motd = "changed"; delete(hosts, "192.0.2.1") }) // the vendor's sync
		c.looks(3 * time.Minute)
		if got, rec := c.record(), c.load().Record; got.Found.Differences() != 0 || rec.Alarm != nil {
			t.Errorf("found %+v, alarm %+v", got.Found, rec.Alarm)
		}
		docs, err := c.store.Documents(t.Context(), edge)
		if err != nil || len(docs) > 4 {
			t.Errorf("%d documents are kept, %v", len(docs), err)
		}
	})
}

func TestConflictsAndWhatAStandbyDeletedWaitForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing, func(d *pair.Definition) { d.Sync.Conflicts = pair.ConflictsAsk })
		c.looks(6 * time.Minute)
		c.edit(pair.First, func(motd *string, _ map[string]string) { *motd = "of first" })
		c.edit(pair.Second, func(motd *string, hosts map[string]string) { *motd = "of second"; delete(hosts, "192.0.2.2") })
		c.looks(3 * time.Minute)
		if got := c.record().Found; got.Conflicts != 1 || got.Asked != 1 || got.ToFirst+got.ToSecond != 0 {
			t.Errorf("found %+v", got)
		}
	})
}

func TestAComparisonThatFailsIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing)
		c.readErr = fmt.Errorf("read: %w", pair.ErrUnreachable)
		c.looks(3 * time.Hour)
		got := c.record()
		if got.Failures != 6 || c.reads != 12 || !strings.Contains(got.Why, "read the settings of first") {
			t.Errorf("%d failures after %d readings: %s", got.Failures, c.reads, got.Why)
		}
		if alarm := c.load().Record.Alarm; alarm == nil || alarm.Row != "settings-differ" {
			t.Errorf("alarm %+v", alarm)
		}
		c.readErr = nil
		c.looks(3 * time.Hour)
		if got := c.record(); got.Failures != 0 || got.ComparedAt.IsZero() || c.load().Record.Alarm != nil {
			t.Errorf("%+v, alarm %+v", got, c.load().Record.Alarm)
		}
	})
}

func TestSettingsAreNotComparedWhile(t *testing.T) {
	tests := []struct {
		name  string
		worse func(*configured)
	}{
		{"both units serve", func(c *configured) { c.split() }},
		{"a unit does not answer", func(c *configured) { c.units.set(pair.Second, pair.StateUnknown) }},
		{"a person holds the pair", func(c *configured) {
			c.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann"} })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConfigured(t, observing)
				tt.worse(c)
				c.looks(20 * time.Minute)
				if c.reads != 0 {
					t.Errorf("%d readings", c.reads)
				}
			})
		})
	}
}

// TestAWorkerThatDiesInAComparison stops it at each effect on the store.
func TestAWorkerThatDiesInAComparisonIsReplaced(t *testing.T) {
	for n := 1; n < 12; n++ {
		for _, f := range []fate{failed, unknown} {
			synctest.Test(t, func(t *testing.T) {
				c := newConfigured(t, observing)
				c.looks(4*time.Minute - 15*time.Second)
				fx := &effects{at: n, fate: f, kills: true}
				dying := c.works(fx)
				for range 3 {
					if err := dying.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil && !errors.Is(err, errDead) && !errors.Is(err, pair.ErrUnknownOutcome) && !errors.Is(err, pair.ErrUnreachable) {
						t.Fatal(err)
					}
					time.Sleep(15 * time.Second)
				}
				c.looks(3 * time.Minute)
				snap := c.load()
				if got := c.record(); got.Found.Differences() != 0 || got.Comparison == "" || got.Failures > 0 || len(snap.Intents)+len(snap.Outbox) > 0 {
					t.Errorf("effect %d %s: %+v, intents %v", n, f, got, snap.Intents)
				}
				docs, err := c.store.Documents(t.Context(), edge)
				if err != nil || !slices.Contains(docs, c.record().Comparison) || len(docs) > 4 {
					t.Errorf("effect %d %s: documents %q, %v", n, f, docs, err)
				}
			})
		}
	}
}

func TestSync(t *testing.T) {
	onFirst := func(c *configured) {
		c.edit(pair.First, func(motd *string, hosts map[string]string) { *motd = "of first"; hosts["192.0.2.3"] = "three" })
	}
	onSecond := func(c *configured) {
		c.edit(pair.Second, func(motd *string, hosts map[string]string) { *motd = "of second"; hosts["192.0.2.3"] = "three" })
	}
	tests := []struct {
		name  string
		given func(*configured)
		with  *pair.JobSync
		state pair.JobState
		why   string   // in the job's reason, or in a note of its steps
		wrote []string // to the units
		saved []string // backups
		motd  [2]string
	}{
		{
			name: "where nothing differs nothing is written", given: func(*configured) {}, state: pair.JobDone, why: "the settings are alike; nothing was written",
			motd: [2]string{"hello", "hello"},
		},
		{
			name: "what the standby changed is written to the active unit, after a backup of it", given: onSecond, state: pair.JobDone, why: "the settings are alike",
			wrote: []string{"lm1 modify parameters: motd=of second", "lm1 add hosts 192.0.2.3: fqdn=three"}, saved: []string{"first for before"},
			motd: [2]string{"of second", "of second"},
		},
		{
			name: "what the active unit changed is left to the units' own sync", state: pair.JobDone, why: "the settings are alike",
			given: func(c *configured) { onFirst(c); c.vendor = true },
			motd:  [2]string{"of first", "of first"},
		},
		{
			name: "only the classes that were asked for are written", given: onSecond, with: &pair.JobSync{Only: []string{"hosts"}}, state: pair.JobDone,
			why:   "what can be carried over is alike; 1 to carry to first",
			wrote: []string{"lm1 add hosts 192.0.2.3: fqdn=three"}, saved: []string{"first for before"},
			motd: [2]string{"hello", "of second"},
		},
		{
			name: "of two values for one field a person may prefer that of the standby", state: pair.JobDone, why: "the settings are alike",
			given: func(c *configured) {
				c.edit(pair.First, func(motd *string, _ map[string]string) { *motd = "of first" })
				c.edit(pair.Second, func(motd *string, _ map[string]string) { *motd = "of second" })
			},
			with:  &pair.JobSync{Prefer: "second"},
			wrote: []string{"lm1 modify parameters: motd=of second"}, saved: []string{"first for before"},
			motd: [2]string{"of second", "of second"},
		},
		{
			name: "a write that the unit does not take is named, and the others are made", state: pair.JobFailed, why: "1 writes were not taken: add hosts [192.0.2.4]",
			given: func(c *configured) {
				c.edit(pair.Second, func(motd *string, hosts map[string]string) { *motd = "of second"; hosts["192.0.2.4"] = "bad" })
			},
			wrote: []string{"lm1 modify parameters: motd=of second", "lm1 add hosts 192.0.2.4: fqdn=bad"}, saved: []string{"first for before"},
			motd: [2]string{"of second", "of second"},
		},
		{
			name: "a standby that is not synchronised by the vendor, and keeps one write, gets the others", given: onFirst, state: pair.JobDone, why: "second (lm2) keeps writes while it stands by",
			wrote: []string{"lm2 modify parameters: motd=of first", "lm2 add hosts 192.0.2.3: fqdn=three"}, saved: []string{"second for before"},
			motd: [2]string{"of first", "of first"},
		},
		{
			name: "one that rejects writes gets none, and the job says so", state: pair.JobFailed, why: "this standby rejects writes",
			given: func(c *configured) { onFirst(c); c.standby = pair.StandbyRejects },
			saved: []string{"second for before"}, motd: [2]string{"of first", "hello"},
		},
		{
			name: "one that forgets writes gets one", state: pair.JobFailed, why: "this standby forgets writes",
			given: func(c *configured) { onFirst(c); c.standby = pair.StandbyForgets },
			wrote: []string{"lm2 modify parameters: motd=of first"}, saved: []string{"second for before"}, motd: [2]string{"of first", "as before"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConfigured(t, observing)
				c.looks(6 * time.Minute)
				tt.given(c)
				c.begins(tt.with)
				j := c.finishes(time.Hour)
				if j.State != tt.state || !strings.Contains(j.Why+stepsOf(&j), tt.why) {
					t.Errorf("%s: %s\n%s", j.State, j.Why, stepsOf(&j))
				}
				if !slices.Equal(c.wrote, tt.wrote) || c.motd != tt.motd {
					t.Errorf("wrote %q, want %q; motd %q, want %q", c.wrote, tt.wrote, c.motd, tt.motd)
				}
				kept, err := c.memory.Vault(nil).List(t.Context(), edge)
				var saved []string
				for _, b := range kept {
					saved = append(saved, b.Unit.String()+" for "+b.For.String())
				}
				if err != nil || !slices.Equal(saved, tt.saved) {
					t.Errorf("kept %q and %v, want %q", saved, err, tt.saved)
				}
				if snap := c.load(); len(snap.Intents)+len(snap.Outbox) > 0 {
					t.Errorf("left open: %v", snap.Intents)
				}
			})
		})
	}
}

// TestASyncThatStopsAfterAnyEffectIsCarriedOn lets each effect of a sync go wrong in
// turn: not done, or done without an answer, and the worker dies of it or lives on. Every
// story ends in the same way (promises 4 and 5).
func TestASyncThatStopsAfterAnyEffectIsCarriedOn(t *testing.T) {
	story := func(t *testing.T, fx *effects) *configured {
		c := newConfigured(t, observing, func(d *pair.Definition) { d.Sync.Restore = true })
		c.looks(6 * time.Minute)
		c.edit(pair.First, func(motd *string, _ map[string]string) { *motd = "of first" })
		c.edit(pair.Second, func(_ *string, hosts map[string]string) { delete(hosts, "192.0.2.1"); hosts["192.0.2.3"] = "three" })
		c.worker = c.works(fx)
		c.begins(&pair.JobSync{})
		for began := time.Now(); time.Since(began) < time.Hour && c.load().Record.Job.Running(); time.Sleep(20 * time.Second) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			fx.onDeath(cancel)
			_ = c.worker.Pass(ctx, edge, pair.Cause{Kind: pair.CauseSweep}) // what failed is carried on
			cancel()
			if fx.alive() != nil {
				fx = &effects{}
				c.worker = c.works(fx)
			}
		}
		c.looks(30 * time.Second)
		return c
	}
	type end struct {
		State        pair.JobState
		Motd         [2]string
		First, Other string
		Found        pair.SettingsFound
		Left         int
	}
	endOf := func(c *configured) end {
		snap := c.load()
		return end{
			State: snap.Record.Job.State, Motd: c.motd, First: fmt.Sprint(c.hosts[0]), Other: fmt.Sprint(c.hosts[1]), Found: snap.Record.Settings.Found,
			Left: len(snap.Intents) + len(snap.Outbox),
		}
	}
	var want end
	var all []string
	synctest.Test(t, func(t *testing.T) {
		fx := &effects{}
		c := story(t, fx)
		want, all = endOf(c), fx.done
		if want.State != pair.JobDone || want.Motd != [2]string{"of first", "of first"} || want.First != "map[192.0.2.1:one 192.0.2.2:two 192.0.2.3:three]" || want.Found.Asked != 1 {
			j := c.load().Record.Job
			t.Fatalf("uninterrupted, it ends with %+v\n%s\n%s", want, j.Why, stepsOf(j))
		}
	})
	others := []string{"take lease", "give lease back", "journal", "send", "delivered", "publish"} // which are every pass's, and tested with fences
	for n, what := range all {
		if slices.Contains(others, what) && n%11 > 0 || n%oneOf > 0 {
			continue
		}
		for _, f := range []fate{failed, unknown} {
			kills := f == failed || n%3 > 0 // a worker that lives on takes the same way, sooner
			synctest.Test(t, func(t *testing.T) {
				c := story(t, &effects{at: n + 1, fate: f, kills: kills})
				if got := endOf(c); got != want {
					j := c.load().Record.Job
					t.Errorf("effect %d of %d, %s, %v, kills %v: ends with %+v, want %+v\n%s\n%s", n+1, len(all), what, f, kills, got, want, j.Why, stepsOf(j))
				}
			})
			if t.Failed() {
				return // the first one says it all
			}
		}
	}
}

func TestTheModeSaysWhoBeginsASync(t *testing.T) {
	tests := []struct {
		name  string
		mode  pair.Mode
		given func(*configured)
		job   pair.JobState // unknown: none was begun
		plan  bool
		row   string
	}{
		{"in mode auto it begins by itself, when the units' own sync had its time", pair.Auto, nil, pair.JobDone, false, "sync"},
		{"in mode recommend it is planned", pair.Recommend, nil, pair.JobUnknown, true, "sync-planned"},
		{"in mode observe it is shown", pair.Observe, nil, pair.JobUnknown, false, "healthy"},
		{"where anything waits for a person it is the person's to begin", pair.Auto, func(c *configured) {
			c.edit(pair.Second, func(_ *string, hosts map[string]string) { delete(hosts, "192.0.2.1") })
		}, pair.JobUnknown, false, "healthy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConfigured(t, func(d *pair.Definition) { d.Mode = tt.mode })
				c.looks(6 * time.Minute)
				c.edit(pair.Second, func(motd *string, _ map[string]string) { *motd = "of second" })
				if tt.given != nil {
					tt.given(c)
				}
				c.looks(15 * time.Minute)
				rec := c.load().Record
				if got := rec.Job.Running() || rec.Job != nil; got != (tt.job != pair.JobUnknown) || got && rec.Job.State != tt.job {
					t.Errorf("job %+v", rec.Job)
				}
				if got := rec.Plan != nil; got != tt.plan {
					t.Errorf("plan %+v", rec.Plan)
				}
				if !slices.Contains(c.rows(), tt.row) {
					t.Errorf("rows %q, want %q", c.rows(), tt.row)
				}
				if want := map[bool]string{true: "of second", false: "hello"}[tt.job == pair.JobDone]; c.motd[0] != want {
					t.Errorf("first has %q, want %q", c.motd[0], want)
				}
			})
		})
	}
}

func TestAPlannedSyncIsBegunWhenAPersonApprovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, func(d *pair.Definition) { d.Mode = pair.Recommend })
		c.looks(6 * time.Minute)
		c.edit(pair.Second, func(motd *string, _ map[string]string) { *motd = "of second" })
		c.looks(15 * time.Minute)
		c.amend(func(rec *pair.Record) {
			plan := *rec.Plan
			plan.Approved = &pair.Request{By: "ann", At: time.Now()}
			rec.Plan = &plan
		})
		c.looks(3 * time.Minute)
		if j := c.load().Record.Job; j == nil || j.State != pair.JobDone || j.By != "ann" || c.motd[0] != "of second" {
			t.Errorf("job %+v, first has %q", j, c.motd[0])
		}
	})
}

// TestNoValueIsLost: where somebody's value won, the other one is kept.
func TestNoValueIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing)
		c.looks(6 * time.Minute)
		c.edit(pair.First, func(motd *string, _ map[string]string) { *motd = "of first" })
		c.edit(pair.Second, func(motd *string, _ map[string]string) { *motd = "of second" })
		c.looks(3 * time.Minute)
		c.edit(pair.Second, func(motd *string, _ map[string]string) { *motd = "of first" }) // the units' own sync
		c.looks(4 * time.Minute)
		past := c.record().Past
		if len(past) != 1 {
			t.Fatalf("%d comparisons are kept", len(past))
		}
		doc, err := c.store.Document(t.Context(), edge, past[0].Comparison)
		if err != nil || !strings.Contains(string(doc), "of second") {
			t.Errorf("%v: %.200s", err, doc)
		}
		c.looks(26 * time.Hour)
		if _, err := c.store.Document(t.Context(), edge, past[0].Comparison); err != nil {
			t.Error(err)
		}
	})
}

func TestAPairThatIsForgottenLeavesNoSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t, observing)
		c.looks(6 * time.Minute)
		c.amend(func(rec *pair.Record) { rec.Retire = &pair.Request{By: "ann", At: time.Now()} })
		c.looks(time.Minute)
		if docs, err := c.store.Documents(t.Context(), edge); err != nil || len(docs) > 0 {
			t.Errorf("left behind: %q, %v", docs, err)
		}
	})
}
