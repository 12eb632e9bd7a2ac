package vault

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123e6, time.UTC)

func backup(r pair.Role, at time.Time) pair.Backup {
	return pair.Backup{
		ID: pair.BackupID(r, at), Unit: r, VM: "lm-" + r.String(), At: at, For: pair.BackupScheduled, Firmware: "7.2.59.0.22007.RELEASE",
	}
}

// testContract is what every place for backups keeps; open gives an empty one, with
// its backend.
func testContract(t *testing.T, open func(t *testing.T) *Vault) {
	t.Run("what is kept is read back, and no other pair sees it", func(t *testing.T) {
		v, file := open(t), []byte("secret settings")
		kept, err := v.Put(t.Context(), "edge", backup(pair.First, noon), file)
		if err != nil {
			t.Fatal(err)
		}
		if kept.Size != int64(len(file)) || len(kept.SHA256) != 64 {
			t.Errorf("kept %+v", kept)
		}
		got, read, err := v.Get(t.Context(), "edge", kept.ID)
		if diff := gocmp.Diff(kept, got); err != nil || diff != "" || !bytes.Equal(read, file) {
			t.Errorf("%v, %q, %s", err, read, diff)
		}
		for name, want := range map[string]int{"edge": 1, "edge-weu": 0, "ed": 0} {
			if all, err := v.List(t.Context(), name); err != nil || len(all) != want {
				t.Errorf("pair %s: %v, %v", name, all, err)
			}
		}
	})
	t.Run("a list has the newest first, of both units", func(t *testing.T) {
		v := open(t)
		var want []pair.Backup
		for n, b := range []pair.Backup{backup(pair.Second, noon.Add(2*time.Second)), backup(pair.First, noon.Add(time.Second)), backup(pair.Second, noon)} {
			b.For = pair.BackupPurposes[n]
			kept, err := v.Put(t.Context(), "edge", b, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, kept)
		}
		got, err := v.List(t.Context(), "edge")
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
	t.Run("what is kept is never written over", func(t *testing.T) {
		v, b := open(t), backup(pair.First, noon)
		if _, err := v.Put(t.Context(), "edge", b, []byte("first")); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Put(t.Context(), "edge", b, []byte("other")); !errors.Is(err, pair.ErrExists) {
			t.Errorf("a second one: %v", err)
		}
		if _, file, err := v.Get(t.Context(), "edge", b.ID); err != nil || string(file) != "first" {
			t.Errorf("%q, %v", file, err)
		}
	})
	t.Run("what is deleted is gone, and a second time that is no error", func(t *testing.T) {
		v, b := open(t), backup(pair.First, noon)
		if _, err := v.Put(t.Context(), "edge", b, []byte("x")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := v.Delete(t.Context(), "edge", b.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := v.Get(t.Context(), "edge", b.ID); !errors.Is(err, pair.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a file that is not what was kept is not given out", func(t *testing.T) {
		v, b := open(t), backup(pair.First, noon)
		meta := map[string]string{metaMark: markValue, metaHash: strings.Repeat("0", 64)}
		if err := v.backend.put(t.Context(), blobName("edge", b.ID), meta, []byte("changed")); err != nil {
			t.Fatal(err)
		}
		if _, file, err := v.Get(t.Context(), "edge", b.ID); !errors.Is(err, pair.ErrUnreadable) || file != nil {
			t.Errorf("%q, %v", file, err)
		}
	})
	t.Run("what somebody else put there is not ours", func(t *testing.T) {
		v := open(t)
		for name, meta := range map[string]map[string]string{
			blobName("edge", pair.BackupID(pair.First, noon)): {"other": "x"},
			"edge/notes.txt":                      {metaMark: markValue},
			"edge/first-20261122T120000Z.backup":  {metaMark: markValue},
			"edge/third-20261122T120000.000Z.tgz": {metaMark: markValue},
		} {
			if err := v.backend.put(t.Context(), name, meta, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if all, err := v.List(t.Context(), "edge"); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
		if _, _, err := v.Get(t.Context(), "edge", pair.BackupID(pair.First, noon)); !errors.Is(err, pair.ErrUnreadable) {
			t.Errorf("%v", err)
		}
	})
	t.Run("what cannot be a backup is refused", func(t *testing.T) {
		v := open(t)
		for what, tt := range map[string]struct {
			id   string
			file []byte
			want error
		}{
			"no file":              {pair.BackupID(pair.First, noon), nil, pair.ErrInvalid},
			"too large a file":     {pair.BackupID(pair.First, noon), make([]byte, pair.BackupMost+1), pair.ErrTooLarge},
			"a path instead of id": {"../other/first", []byte("x"), pair.ErrInvalid},
		} {
			if _, err := v.Put(t.Context(), "edge", pair.Backup{ID: tt.id}, tt.file); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, _, err := v.Get(t.Context(), "edge", "../other/first"); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("get: %v", err)
		}
		if err := v.Delete(t.Context(), "edge", ""); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("delete: %v", err)
		}
	})
	t.Run("what a unit says of itself cannot break a header", func(t *testing.T) {
		v, b := open(t), backup(pair.First, noon)
		b.Firmware = "7.2\r\nx-ms-evil: ü" + strings.Repeat("9", 100)
		kept, err := v.Put(t.Context(), "edge", b, []byte("x"))
		if err != nil || strings.ContainsAny(kept.Firmware, "\r\n ü") || len(kept.Firmware) > textMost {
			t.Errorf("%+v, %v", kept, err)
		}
		if got, _, err := v.Get(t.Context(), "edge", b.ID); err != nil || got.Firmware != kept.Firmware {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestMemoryKeepsTheContract(t *testing.T) {
	testContract(t, func(*testing.T) *Vault { return NewMemory().Vault(nil) })
}
