package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// localSettings is for this machine only and is never deployed
// (functions-host.md 6.2).
const localSettings = "local.settings.json"

// packed is the time of every file in the archive: the earliest that the
// format can hold.
var packed = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipApp packs a script root into a file whose root is the script root, as a
// deployment expects it (functions-host.md 7.2). An existing file is replaced
// only by a whole one.
func zipApp(dir, file string) error {
	if _, err := os.Stat(filepath.Join(dir, hostFile)); err != nil {
		return fmt.Errorf("zip %s: not a staged app, run make app: %w", dir, err)
	}
	var archive bytes.Buffer
	if err := pack(&archive, os.DirFS(dir)); err != nil {
		return fmt.Errorf("zip %s: %w", dir, err)
	}
	part := file + ".part"
	err := write(part, archive.Bytes(), 0o644)
	if err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		_ = os.Remove(part) // may not exist, and the first error says more
		return fmt.Errorf("zip %s: %w", dir, err)
	}
	return nil
}

// pack writes the files in the order of their names, which is fs.WalkDir's.
func pack(archive *bytes.Buffer, app fs.FS) error {
	w := zip.NewWriter(archive)
	err := fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == localSettings {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: expected a file or a directory, not %s", name, d.Type())
		}
		return add(w, app, name)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

func add(w *zip.Writer, app fs.FS, name string) error {
	info, err := fs.Stat(app, name)
	if err != nil {
		return err
	}
	b, err := fs.ReadFile(app, name)
	if err != nil {
		return err
	}
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: packed}
	header.SetMode(mode(info))
	f, err := w.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}

// mode keeps of a file's bits what matters, whether it may be run, and leaves
// out what a checkout or a umask adds.
func mode(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
