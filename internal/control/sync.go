package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

// SettingsUnits reads and writes what is set on a unit.
type SettingsUnits interface {
	// ReadSettings reads classes of a unit's settings; what it does not give is not in
	// the snapshot.
	ReadSettings(ctx context.Context, u pair.Unit, classes ...settings.Class) (settings.Snapshot, error)
	// WriteSettings makes writes in their order, each unless it is so already, and reads
	// them back. It returns how many are so; the error is that of the next one.
	WriteSettings(ctx context.Context, u pair.Unit, writes []settings.Write) (done int, err error)
}

// Documents keeps what is too large for a pair's record, under names of its content.
type Documents interface {
	PutDocument(ctx context.Context, name, id string, doc []byte) error
	Document(ctx context.Context, name, id string) ([]byte, error)
	Documents(ctx context.Context, name string) ([]string, error)
	DeleteDocument(ctx context.Context, name, id string) error
}

// errNoSettings means that the program was not given what reads settings.
var errNoSettings = fmt.Errorf("settings are neither read nor written here: %w", pair.ErrRefused)

// compares reports whether this pass may decide to compare settings: that is due, and it
// has the process's only place for what takes long and much memory (see spare).
func (p *pass) compares() bool {
	return p.Settings != nil && p.Documents != nil && !p.atWork() && pair.CompareWanted(&p.in) && p.claim()
}

// compared is what a comparison found, for the record.
type compared struct {
	marks            [2]time.Time
	base, comparison string // the documents
	at               time.Time
	found            pair.SettingsFound
	oldest, newest   time.Time
	ids              map[string]time.Time // of the differences
	anew             bool                 // what was common is not known any more
	settled          bool                 // a conflict of the comparison before is none any more
	work             *pair.SettingsWork   // for a job
	fate             pair.StandbyWrites   // of the one write that a job made on a standby
}

// compareSettings reads both units, merges what they have with what they had in common,
// and keeps both as documents. An attempt is made once; what failed is tried again by
// the record's own count.
//
// A change that comes while units are read leaves a newer mark than those that were
// seen before, so that the next look compares again.
func (p *pass) compareSettings(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.Settings == nil || p.Documents == nil {
		return 0, false, once{errNoSettings}
	}
	if !p.claim() {
		i.NotBefore = p.now().Add(pair.LookAgain)
		return 0, false, nil
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	ctx, cancel := p.transfer(ctx)
	defer cancel()
	c, before, err := p.comparison(ctx)
	if err != nil {
		return 0, false, once{err}
	}
	result, common := c.Compare(before)
	found := compared{marks: pair.Marks(&p.in.Observation), at: c.At, found: result.Found(), ids: c.Since}
	found.oldest, found.newest = c.Seen()
	if found.base, err = p.keepDocument(ctx, "base", common); err != nil {
		return 0, false, once{err}
	}
	if found.comparison, err = p.keepDocument(ctx, "comparison", c); err != nil {
		return 0, false, once{err}
	}
	found.settled = settledConflict(before, &found)
	s := p.snap.Record.Settings
	found.anew = s != nil && s.Base != "" && len(c.Base.Classes) == 0
	if i.Job != "" {
		found.work, found.fate = p.planSync(c, &result, found.comparison)
	}
	p.found = &found
	p.forgetDocuments(ctx, found.base, found.comparison)
	return 0, true, nil
}

// comparison reads everything that a comparison needs, and the one before, nil where
// there is none.
func (p *pass) comparison(ctx context.Context) (c, before *settings.Comparison, err error) {
	c = &settings.Comparison{V: settings.ComparisonVersion, Policy: p.syncPolicy()}
	if s := p.snap.Record.Settings; s != nil {
		if err := p.document(ctx, s.Base, &c.Base); err != nil {
			return nil, nil, err
		}
		before = &settings.Comparison{}
		if err := p.document(ctx, s.Comparison, before); err != nil {
			return nil, nil, err
		}
	}
	c.At = p.now()
	units := [2]*settings.Snapshot{&c.First, &c.Second}
	var errs [2]error
	var reads []func()
	for _, r := range pair.Roles {
		reads = append(reads, func() {
			*units[r.Index()], errs[r.Index()] = p.Settings.ReadSettings(ctx, p.snap.Definition.Units.Of(r), settings.Everyday()...)
		})
	}
	atOnce(reads)
	for _, r := range pair.Roles {
		if err := errs[r.Index()]; err != nil {
			return nil, nil, fmt.Errorf("read the settings of %s: %w", r, err)
		}
	}
	return c, before, nil
}

// syncPolicy is what a merge may do by itself.
func (p *pass) syncPolicy() settings.Policy {
	policy := settings.Policy{Active: p.snap.Record.LastActive, Prefer: settings.PreferNobody}
	if p.snap.Definition.Sync.Conflicts == pair.ConflictsActive {
		policy.Prefer = settings.PreferActive
	}
	if j := p.snap.Record.Job; j.Running() && j.Sync != nil && j.Sync.Prefer != "" {
		_ = policy.Prefer.UnmarshalText([]byte(j.Sync.Prefer)) // one that is not known is nobody's
	}
	if s := p.snap.Record.Settings; s != nil && len(s.Chosen) > 0 {
		policy.Chosen = map[string]pair.Role{}
		for _, c := range s.Chosen {
			policy.Chosen[c.ID] = c.Unit
		}
	}
	return policy
}

// document reads a document into a value, which stays as it is where there is none: one
// that somebody deleted is begun anew. That forgets what was common, so that nothing
// counts as deleted and what differs is for a person.
func (p *pass) document(ctx context.Context, id string, into any) error {
	if id == "" {
		return nil
	}
	b, err := p.Documents.Document(ctx, p.name, id)
	if errors.Is(err, pair.ErrNotFound) {
		p.Log.WarnContext(ctx, "a document of a pair's settings is gone, what both units had in common is not known any more", "pair", p.name, "document", id)
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read document %s: %w: %w", id, pair.ErrUnreadable, err)
	}
	return nil
}

// keepDocument keeps a value under a name of its content, and returns that.
func (p *pass) keepDocument(ctx context.Context, kind string, value any) (string, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("write document %s: %w: %w", kind, pair.ErrInvalid, err)
	}
	sum := sha256.Sum256(b)
	id := kind + "-" + hex.EncodeToString(sum[:12])
	if s := p.snap.Record.Settings; s != nil && slices.Contains(s.Documents(), id) {
		return id, nil // which is kept, or the record would not name it
	}
	return id, p.Documents.PutDocument(ctx, p.name, id, b)
}

// forgetDocuments deletes the documents that neither the record names, nor what is about
// to. What cannot be deleted is found again.
func (p *pass) forgetDocuments(ctx context.Context, fresh ...string) {
	all, err := p.Documents.Documents(ctx, p.name)
	if err == nil {
		for _, id := range all {
			if s := p.snap.Record.Settings; slices.Contains(fresh, id) || s != nil && slices.Contains(s.Documents(), id) {
				continue
			}
			err = errors.Join(err, p.Documents.DeleteDocument(ctx, p.name, id))
		}
	}
	if err != nil {
		p.Log.WarnContext(ctx, "old documents of a pair's settings were not deleted", "pair", p.name, "error", err.Error())
	}
}

// compareAllowed keeps credentials resting that a unit refused, and a pair alone with
// which something is wrong by now.
func (p *pass) compareAllowed(_ context.Context, i *pair.Intent) error {
	for _, r := range pair.Roles {
		if refusal := p.snap.Record.Units[r.Index()].Refusal; refusal.In(p.now()) {
			return fmt.Errorf("%s refused our credentials, which rest until %s: %w", r, refusal.Until.Format("15:04:05"), errGuard)
		}
	}
	switch {
	case p.d.Facts.Stance < pair.StanceObserve:
		return fmt.Errorf("the stance is %s by now: %w", p.d.Facts.Stance, errGuard)
	case p.d.Seen != pair.Healthy:
		return fmt.Errorf("the pair is %s by now: %w", p.d.Seen, errGuard)
	}
	return nil
}

// settledConflict reports whether something that both units had changed is not in the
// newest comparison any more: somebody's value was taken, and the other one is kept with
// the comparison before.
func settledConflict(before *settings.Comparison, now *compared) bool {
	if before == nil || len(before.Since) == 0 {
		return false
	}
	r := before.Result()
	return slices.ContainsFunc(r.Conflicts, func(c settings.Conflict) bool {
		_, still := now.ids[c.ID]
		return !still
	})
}

// wasCompared remembers what a comparison found. Choices for differences that are gone
// are forgotten.
func wasCompared(p *pass, rec *pair.Record, i pair.Intent) {
	was, f := rec.Settings, p.found
	now := pair.SettingsRecord{}
	if was != nil {
		now = *was
	}
	now.Base, now.Comparison, now.Marks, now.ComparedAt, now.ChangedAt = f.base, f.comparison, f.marks, f.at, time.Time{}
	now.Found, now.Since, now.Settles = f.found, f.oldest, time.Time{}
	if !f.newest.IsZero() {
		now.Settles = f.newest.Add(pair.VendorSyncTakes)
	}
	switch {
	case f.found.Differences() == 0:
		now.AlikeAt = f.at
	case f.anew:
		now.AlikeAt = time.Time{} // what differs is for a person
	}
	now.Failures, now.TriedAt, now.Why = 0, time.Time{}, ""
	if f.settled && was != nil {
		now.Past = append(slices.Clone(now.Past), pair.SettingsPast{Job: i.Job, Comparison: was.Comparison, At: was.ComparedAt})
		now.Past = now.Past[max(0, len(now.Past)-pair.PastMost):]
	}
	if f.work != nil {
		now.Work = f.work
		if f.fate != pair.StandbyUntried {
			now.Standby[f.work.Active.Other().Index()] = f.fate
		}
	}
	now.Chosen = slices.DeleteFunc(slices.Clone(now.Chosen), func(c pair.SettingsChoice) bool {
		_, there := f.ids[c.ID]
		return !there
	})
	rec.Settings = &now
}

// uncompared counts a comparison that failed. One that was stopped says nothing.
func (p *pass) uncompared(rec *pair.Record, i pair.Intent, why error) {
	if i.Kind == pair.IntentCompare && !errors.Is(why, errGuard) {
		rec.Settings = rec.Settings.Failed(p.now(), why)
	}
}
