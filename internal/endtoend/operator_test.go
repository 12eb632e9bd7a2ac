package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tandem/internal/api"
)

// tandem runs a command as a person does, and returns what it printed. It
// demands the exit code, that errors and nothing else go to standard error,
// and that no secret is shown.
func (d *deployment) tandem(exit int, args ...string) string {
	d.t.Helper()
	code, stdout, stderr := d.run(args...)
	if code != exit || (stderr != "") != (exit == 1 || exit == 2) {
		d.t.Fatalf("tandem %s: exit code %d, expected %d\n%s%s", strings.Join(args, " "), code, exit, stdout, stderr)
	}
	d.discreet("tandem "+args[0], stdout+stderr)
	return stdout
}

func (d *deployment) run(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.app, "tandem"), args...)
	cmd.Env = append(os.Environ(), "TANDEM_SERVER="+d.server)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// status asks for the pair as a person does.
func (d *deployment) status() api.Status {
	d.t.Helper()
	code, stdout, stderr := d.run("status", pairName, "-o", "json")
	var got struct{ Pairs []api.Status }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got.Pairs) != 1 || stderr != "" {
		d.t.Fatalf("tandem status: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	return got.Pairs[0]
}

// says demands that a command printed all of these, in this order.
func (d *deployment) says(printed string, words ...string) {
	d.t.Helper()
	rest := printed
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			d.t.Errorf("expected %q, in this order, in:\n%s", words, printed)
			return
		}
		rest = after
	}
}

// discreet demands that a text holds no secret.
func (d *deployment) discreet(what, text string) {
	d.t.Helper()
	for i, secret := range d.secrets {
		if strings.Contains(text, secret) {
			d.t.Errorf("%s shows secret %d", what, i)
		}
	}
	if strings.Contains(text, "eyJ") {
		d.t.Errorf("%s shows a token", what)
	}
}
