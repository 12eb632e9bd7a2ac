package main

import (
	"archive/zip"
	"crypto/sha256"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem"
)

// binary is a file that stands for the program.
func binary(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "built")
	if err := os.WriteFile(name, []byte("the program"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func staged(t *testing.T, app fs.FS) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "build", "app")
	if err := stage(app, binary(t), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// realApp is the function app of this repository.
func realApp(t *testing.T) fs.FS {
	t.Helper()
	app, err := tandem.FunctionApp()
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// listing returns the modes of all files below a directory.
func listing(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	files := map[string]fs.FileMode{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files[name] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheStagedAppHoldsTheSourceFunctionsFlattenedAndTheBinary(t *testing.T) {
	want := map[string]fs.FileMode{"host.json": 0o644, "tandem": 0o755}
	functions, err := filepath.Glob("../../functions/*/function.json")
	if err != nil || len(functions) == 0 {
		t.Fatalf("list the functions: %v, %d found", err, len(functions))
	}
	for _, f := range functions {
		want[filepath.ToSlash(filepath.Join(filepath.Base(filepath.Dir(f)), "function.json"))] = 0o644
	}
	if diff := cmp.Diff(want, listing(t, staged(t, realApp(t)))); diff != "" {
		t.Errorf("staged files (-want +got):\n%s", diff)
	}
}

func TestStagingDoesNotDependOnTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := staged(t, realApp(t))
	if got := listing(t, dir); got["tandem"] != 0o755 || got["host.json"] != 0o644 {
		t.Errorf("got the modes %v", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("got the script root %v, %v", info.Mode(), err)
	}
}

func TestStagingReplacesWhatWasThere(t *testing.T) {
	dir := staged(t, realApp(t))
	if err := os.MkdirAll(filepath.Join(dir, "Retired"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Retired", "function.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stage(realApp(t), binary(t), dir); err != nil {
		t.Fatal(err)
	}
	if _, ok := listing(t, dir)["Retired/function.json"]; ok {
		t.Error("a function that is no longer in the source is still staged")
	}
	beside, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(beside) != 1 {
		t.Errorf("something was left beside the app: %v, %v", beside, err)
	}
}

func TestAFailedStagingLeavesWhatWasThere(t *testing.T) {
	dir := staged(t, realApp(t))
	before := listing(t, dir)
	if err := stage(realApp(t), filepath.Join(t.TempDir(), "missing"), dir); err == nil {
		t.Fatal("a missing binary was staged")
	}
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("the app changed (-before +after):\n%s", diff)
	}
	beside, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(beside) != 1 {
		t.Errorf("something was left beside the app: %v, %v", beside, err)
	}
}

func TestTheProgramMustBeAPlainNameInTheScriptRoot(t *testing.T) {
	for name, host := range map[string]string{
		"none":                       `{}`,
		"in a directory":             `{"customHandler": {"description": {"defaultExecutablePath": "bin/tandem"}}}`,
		"outside":                    `{"customHandler": {"description": {"defaultExecutablePath": ".."}}}`,
		"the script root":            `{"customHandler": {"description": {"defaultExecutablePath": "."}}}`,
		"from a setting":             `{"customHandler": {"description": {"defaultExecutablePath": "%PROGRAM%"}}}`,
		"with a Windows path":        `{"customHandler": {"description": {"defaultExecutablePath": "bin\\tandem.exe"}}}`,
		"that is a function":         `{"customHandler": {"description": {"defaultExecutablePath": "Sweep"}}}`,
		"in a file that is not JSON": `customHandler: {}`,
	} {
		t.Run(name, func(t *testing.T) {
			app := fstest.MapFS{"host.json": {Data: []byte(host)}, "Sweep/function.json": {Data: []byte("{}")}}
			if err := stage(app, binary(t), filepath.Join(t.TempDir(), "app")); err == nil || !strings.Contains(err.Error(), hostFile) {
				t.Errorf("got %v, want an error that names %s", err, hostFile)
			}
		})
	}
}

// zipped packs a script root and returns the file's name.
func zipped(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.zip")
	if err := zipApp(dir, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheArchiveHoldsTheScriptRootInOrderWithModesAndOneTime(t *testing.T) {
	dir := staged(t, realApp(t))
	if err := os.WriteFile(filepath.Join(dir, localSettings), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := listing(t, dir)
	delete(want, localSettings) // is never deployed

	r, err := zip.OpenReader(zipped(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]fs.FileMode{}
	var order []string
	for _, f := range r.File {
		got[f.Name] = f.Mode()
		order = append(order, f.Name)
		if !f.Modified.Equal(packed) {
			t.Errorf("%s has the time %v, want %v", f.Name, f.Modified, packed)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packed files (-want +got):\n%s", diff)
	}
	if !slices.Equal(order, slices.Sorted(maps.Keys(got))) {
		t.Errorf("the files are not in the order of their names: %v", order)
	}
	f, err := r.Open("tandem")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "the program" {
		t.Errorf("got the program %q, %v", b, err)
	}
}

func TestTheSameAppGivesTheSameBytesAtAnotherTimeAndPlace(t *testing.T) {
	sum := func(dir string) [sha256.Size]byte {
		b, err := os.ReadFile(zipped(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	one, two := staged(t, realApp(t)), staged(t, realApp(t))
	later := time.Date(2031, 5, 6, 7, 8, 9, 0, time.Local)
	for name := range listing(t, two) {
		if err := os.Chtimes(filepath.Join(two, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(two, "host.json"), 0o664); err != nil { // another umask
		t.Fatal(err)
	}
	if sum(one) != sum(two) {
		t.Error("two archives of the same app differ")
	}
	if err := os.Chmod(filepath.Join(two, "tandem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if sum(one) == sum(two) {
		t.Error("a lost run bit makes no difference")
	}
}

func TestWhatCannotBePackedIsRefused(t *testing.T) {
	t.Run("a directory that is no script root", func(t *testing.T) {
		err := zipApp(t.TempDir(), filepath.Join(t.TempDir(), "app.zip"))
		if err == nil || !strings.Contains(err.Error(), "make app") {
			t.Errorf("got %v, want advice to run make app", err)
		}
	})
	t.Run("a link, which other tools would follow or not", func(t *testing.T) {
		dir := staged(t, realApp(t))
		if err := os.Symlink("host.json", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "app.zip")
		if err := zipApp(dir, file); err == nil || !strings.Contains(err.Error(), "link") {
			t.Errorf("got %v, want the link refused", err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("an archive was written all the same")
		}
	})
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, args := range [][]string{nil, {"stage"}, {"stage", "a"}, {"unpack", "a", "b"}, {"zip", "a", "b", "c"}} {
		if err := run(args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}
