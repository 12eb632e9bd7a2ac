// Package tandem holds the function app's declarations: host.json and one
// function.json for each function, as they are staged for deployment.
//
// The lab runs them from here, so that it needs no build step; `make app`
// stages the same files beside the binary, which a test compares.
package tandem

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"testing/fstest"
)

//go:embed host.json functions/*/function.json
var declarations embed.FS

// FunctionApp returns the script root of the function app without the binary:
// host.json and the functions' folders beside it, because the host looks only
// there (functions-host.md 6.5).
func FunctionApp() (fs.FS, error) {
	app := fstest.MapFS{}
	err := fs.WalkDir(declarations, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := declarations.ReadFile(name)
		if err != nil {
			return err
		}
		staged := path.Base(name)
		if staged != "host.json" {
			staged = path.Join(path.Base(path.Dir(name)), staged)
		}
		app[staged] = &fstest.MapFile{Data: b, Mode: 0o644}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("stage the function app: %w", err)
	}
	return app, nil
}
