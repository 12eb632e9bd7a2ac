package store

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/internal/pair"
)

// goldenData returns the data of the first release's row whose file name ends
// so.
func goldenData(f *testing.F, end string) string {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(goldenDir, "*"+end))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden row %s: %v", end, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	var stored struct {
		Data string `json:"data"`
	}
	if err := json.Unmarshal(b, &stored); err != nil {
		f.Fatal(err)
	}
	return stored.Data
}

func stored(key string, minReader int, data string) entity {
	return entity{partition: "edge-weu", key: key, etag: "1", props: map[string]any{
		propV: pair.Version, propMinReader: float64(minReader), propData: data,
	}}
}

// FuzzARewrittenRecordKeepsWhatIsUnknown reads any record and writes it again
// with a newer epoch, as every pass does: properties and fields that this
// release does not know are still there, the epoch reads as the new one, and
// what is for newer readers is refused.
func FuzzARewrittenRecordKeepsWhatIsUnknown(f *testing.F) {
	f.Add(1, goldenData(f, "record.json"), "nextYears", "property")
	f.Add(2, goldenData(f, "record.json"), "due", "2026-11-22T12:00:00.000Z")
	f.Add(1, `{"v":9,"minReader":9,"epoch":7,"lease":{"generation":3},"situation":"a word of tomorrow"}`, "data2", "lost")
	f.Add(1, `{"v":1,"minReader":1,"epoch":7,"situation":"healthy","units":[{},{}],"more":{"a":[1.50,null,"<&>"]},"":0}`, "dataX", "kept")
	f.Add(0, `null`, "", "")
	f.Fuzz(func(t *testing.T, minReader int, data, name, value string) {
		e := stored(keyRecord, minReader, data)
		if _, taken := e.props[name]; taken || dataPart(name) > 0 {
			t.Skip()
		}
		e.props[name] = value
		r, rec, err := recordRow(e)
		if minReader > pair.Version && !errors.Is(err, pair.ErrTooNew) {
			t.Fatalf("for readers of version %d, and read: %v", minReader, err)
		}
		if err != nil {
			if errors.Is(err, pair.ErrTooNew) == errors.Is(err, pair.ErrUnreadable) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		rec.Epoch++
		if r, err = r.with(rec); err != nil {
			t.Fatal(err)
		}
		if r.props[name] != value {
			t.Errorf("property %q is %v and was %q", name, r.props[name], value)
		}
		_, back, err := recordRow(r.entity)
		if err != nil {
			t.Fatal(err)
		}
		if back.Epoch != rec.Epoch {
			t.Errorf("epoch %d was written and %d is read: %s", rec.Epoch, back.Epoch, r.data)
		}
		checkUnknown(t, []byte(data), r.data, reflect.TypeFor[pair.Record]())
	})
}

// checkUnknown checks that the members of an object that a type has no field
// for are the same before and after. To encoding/json the case of a name does
// not matter.
func checkUnknown(t *testing.T, before, after []byte, form reflect.Type) {
	t.Helper()
	was, is := membersOf(t, before), membersOf(t, after)
	for field := range form.Fields() {
		known, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		isKnown := func(name string, _ any) bool { return strings.EqualFold(name, known) }
		maps.DeleteFunc(was, isKnown)
		maps.DeleteFunc(is, isKnown)
	}
	if diff := cmp.Diff(was, is, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("unknown fields (-before +after)\n%s", diff)
	}
}

func membersOf(t *testing.T, object []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	d.UseNumber()
	var members map[string]any // stays nil for null
	if err := d.Decode(&members); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return members
}

// FuzzAPartitionIsReadWholeOrNotActedOn reads any rows as those of a pair:
// either all of them can be read, or the snapshot has no version, on which
// nothing can be committed. Every kind of row survives a second writing.
func FuzzAPartitionIsReadWholeOrNotActedOn(f *testing.F) {
	record, definition := goldenData(f, "record.json"), goldenData(f, "weu.definition.json")
	intent, post := goldenData(f, "002-001.json"), goldenData(f, "002-002.json")
	f.Add(1, record, definition, intent, post)
	f.Add(2, record, definition, intent, post)
	f.Add(1, record, definition, `{"v":2,"minReader":2,"id":"x"}`, `{}`)
	f.Add(1, `{"epoch":"seven"}`, definition, `{"kind":"dance"}`, `{"kind":"song"}`)
	f.Add(1, record, `{}`, `[]`, ``)
	f.Fuzz(func(t *testing.T, minReader int, record, definition, intent, post string) {
		p := newPartition("edge-weu", []entity{
			stored(keyDefinition, 1, definition), stored(prefixIntent+"1", minReader, intent),
			stored(prefixOutbox+"1", 1, post), stored(keyRecord, 1, record),
		})
		snap, err := p.snapshot()
		if (err == nil) != (snap.Version != "") {
			t.Errorf("version %q and the error %v", snap.Version, err)
		}
		if err != nil {
			if errors.Is(err, pair.ErrTooNew) == errors.Is(err, pair.ErrUnreadable) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if minReader > pair.Version || len(snap.Intents) != 1 || len(snap.Outbox) != 1 || !snap.Record.Readable() {
			t.Errorf("taken for whole: %+v", snap)
		}
		readsTheSame(t, snap.Record)
		readsTheSame(t, snap.Definition)
		readsTheSame(t, snap.Intents[0])
		readsTheSame(t, snap.Outbox[0])
	})
}

// readsTheSame writes a value and reads it: written again it has the same
// bytes. What cannot be written cannot be stored again, which is its writer's
// to notice.
func readsTheSame[T any](t *testing.T, value T) {
	t.Helper()
	first, err := newRow("p", "k", value)
	if err != nil {
		return
	}
	var back T
	if err := readRow(first.entity).read(&back); err != nil {
		t.Fatalf("%s cannot be read again: %v", first.data, err)
	}
	second, err := newRow("p", "k", back)
	if err != nil || string(first.data) != string(second.data) {
		t.Errorf("%v; written as\n%s\nand then as\n%s", err, first.data, second.data)
	}
}

// FuzzABrakeKeepsWhatIsUnknown reads any row as that of each brake and writes it
// again: what this release does not know is still there, it reads the same, and
// what can be had by it is never more than there is.
func FuzzABrakeKeepsWhatIsUnknown(f *testing.F) {
	f.Add(1, goldenData(f, "ilb-edge.json"))
	f.Add(1, goldenData(f, "slots.changing.json"))
	f.Add(1, goldenData(f, "000a.json"))
	f.Add(2, `{"resource":"x","rank":"rescue","generation":18446744073709551615,"more":{"a":[1.50,null,"<&>"]}}`)
	f.Add(1, `{"holders":[{"pair":"a","until":"0001-01-01T00:00:00Z","why":"later"},{"pair":"a","until":"9999-12-31T23:59:59Z"}],"Holders":null}`)
	f.Add(1, `{"readsFullAt":"9999-12-31T23:59:59.999Z","writesFullAt":"0001-01-01T00:00:00Z"}`)
	f.Add(0, `null`)
	f.Fuzz(func(t *testing.T, minReader int, data string) {
		e := stored("k", minReader, strings.ToValidUTF8(data, "\ufffd")) // as a table keeps texts
		if w, ok := rewritten[pair.Writer](t, e); ok && w.KeepsOut(pair.Writer{Pair: "other", Rank: w.Rank}, noon, LeaseSkew) > pair.LeaseMax+LeaseSkew {
			t.Errorf("%+v keeps others out for too long", w)
		}
		if b, ok := rewritten[budget](t, e); ok {
			most := requests{readAllowance.burst, writeAllowance.burst}
			if got := b.portion(requests{}, most, noon); got.less(most).reads > 0 || got.less(most).writes > 0 || got.reads < 0 || got.writes < 0 {
				t.Errorf("%+v gives %+v", b, got)
			}
			if wait := b.spent(most, noon).wait(most, noon); wait <= 0 || wait > 2*maxWait {
				t.Errorf("%+v refuses for %v", b, wait)
			}
		}
		if s, ok := rewritten[slots](t, e); ok {
			next, wait := s.with("mine", 1, noon, noon.Add(ttl))
			if wait < 0 || wait > pair.LeaseMax+LeaseSkew || wait == 0 && len(next.Holders) != 1 {
				t.Errorf("%+v: wait %v, or have %+v", s, wait, next)
			}
		}
	})
}

// rewritten reads a row of a brake and writes it again, and checks that nothing
// is lost. It returns the value if it can be read.
func rewritten[T any](t *testing.T, e entity) (v T, ok bool) {
	r := readRow(e)
	data := r.data
	var was keeping[T]
	if err := r.read(&was); err != nil {
		if errors.Is(err, pair.ErrTooNew) == errors.Is(err, pair.ErrUnreadable) {
			t.Errorf("error of no kind: %v", err)
		}
		return v, false
	}
	next, err := r.with(was)
	if err != nil { // such as a year that JSON's times do not have
		return v, false
	}
	checkUnknown(t, data, next.data, reflect.TypeFor[T]())
	readsTheSame(t, was)
	return was.Value, true
}

// FuzzAJournalKeyPutsTheNewestFirst reads any two ids: those that are taken
// are the pair's own, spelled as pair.ID spells them, and have keys in the
// opposite order of their numbers.
func FuzzAJournalKeyPutsTheNewestFirst(f *testing.F) {
	f.Add("edge-weu", "edge-weu-000000000002-001", "edge-weu-000000000002-002")
	f.Add("a", "a-999999999999-999999", "a-000000000000-000")
	f.Add("a-1", "a-1-1-1", "a-000000000001-001")
	f.Add("a", "a-1000000000000-001", "a-000000000001-1000000")
	f.Fuzz(func(t *testing.T, name, one, other string) {
		a, errA := journalKey(name, one)
		b, errB := journalKey(name, other)
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, pair.ErrInvalid) {
				t.Errorf("error of no kind: %v", err)
			}
		}
		if errA != nil || errB != nil {
			return
		}
		if !strings.HasPrefix(one, name+"-") || len(a) != len(b) || checkKeys(name, a) != nil {
			t.Errorf("%s of %s has the key %s", one, name, a)
		}
		// Equally long ids have the order of their numbers.
		if len(one) == len(other) && strings.Compare(one, other) != strings.Compare(b, a) {
			t.Errorf("%s and %s have the keys %s and %s", one, other, a, b)
		}
	})
}
