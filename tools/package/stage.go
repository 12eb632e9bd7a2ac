package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// hostFile is the file that makes a directory a script root.
const hostFile = "host.json"

// stage lays out a script root in dir: the app's declarations and the binary,
// under the name by which host.json starts it. What dir held before is gone,
// and dir is never seen half full.
func stage(app fs.FS, binary, dir string) (err error) {
	program, err := executable(app)
	if err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".new-")
	if err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	if err := fill(fresh, app, binary, program); err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	return nil
}

// executable returns the program that host.json names, which must lie in the
// script root under a plain name: the host would also take a path elsewhere, a
// name of the PATH or a %SETTING%, none of which we could stage.
func executable(app fs.FS) (string, error) {
	b, err := fs.ReadFile(app, hostFile)
	if err != nil {
		return "", err
	}
	var host struct {
		CustomHandler struct {
			Description struct {
				DefaultExecutablePath string `json:"defaultExecutablePath"`
			} `json:"description"`
		} `json:"customHandler"`
	}
	if err := json.Unmarshal(b, &host); err != nil {
		return "", fmt.Errorf("read %s: %w", hostFile, err)
	}
	name := host.CustomHandler.Description.DefaultExecutablePath
	if name == "" || name != path.Base(name) || strings.ContainsAny(name, `%\`) || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s: customHandler.description.defaultExecutablePath: %q: expected the plain name of a file in the script root", hostFile, name)
	}
	if _, err := fs.Stat(app, name); err == nil {
		return "", fmt.Errorf("%s: customHandler.description.defaultExecutablePath: %q is the name of another part of the app", hostFile, name)
	}
	return name, nil
}

func fill(dir string, app fs.FS, binary, program string) error {
	// MkdirTemp makes a directory that only its owner may read.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	err := fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(dir, filepath.FromSlash(name)), 0o755)
		}
		b, err := fs.ReadFile(app, name)
		if err != nil {
			return err
		}
		return write(filepath.Join(dir, filepath.FromSlash(name)), b, 0o644)
	})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	// The host adds the run bit on some plans only (functions-host.md 1.8).
	return write(filepath.Join(dir, program), b, 0o755)
}

// write makes a file with exactly these bits, whatever the umask is.
func write(name string, b []byte, mode fs.FileMode) error {
	if err := os.WriteFile(name, b, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}
