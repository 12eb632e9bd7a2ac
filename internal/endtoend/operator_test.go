package endtoend

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tandem/internal/api"
)

// tandem runs a command as a person does, against the host's public face. It
// demands the exit code, that only errors go to standard error, and that
// neither shows a secret, and returns what was printed.
func (d *deployment) tandem(exit int, args ...string) string {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.app, "tandem"), args...)
	cmd.Env = append(os.Environ(), "TANDEM_SERVER="+d.server)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		d.t.Fatal(err)
	}
	code, failed := cmd.ProcessState.ExitCode(), exit == 1 || exit == 2
	if code != exit || (stderr.Len() > 0) != failed {
		d.t.Fatalf("tandem %s: exit code %d, expected %d\n%s%s", strings.Join(args, " "), code, exit, stdout.String(), stderr.String())
	}
	d.discreet("tandem "+args[0], stdout.String()+stderr.String())
	return stdout.String()
}

// apply defines the pair as a person does.
func (d *deployment) apply() {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), pairName+".yaml")
	if err := os.WriteFile(file, d.world.PairFile(), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.until("the app answers", func() bool {
		pairs, err := d.api.Pairs(d.t.Context())
		return err == nil && len(pairs) == 0
	})
	d.says(d.tandem(0, "validate", "-f", file), "pair edge-weu is valid")
	d.says(d.tandem(0, "apply", "-f", file, "--dry-run"), "pair edge-weu created (dry run")
	d.tandem(1, "status", pairName) // it was a dry run
	d.says(d.tandem(0, "apply", "-f", file), "pair edge-weu created")
	d.says(d.tandem(0, "apply", "-f", file), "pair edge-weu unchanged")
	d.sweep()
}

// sweep runs the timer's function now, in addition to its schedule, as the
// portal does (functions-host.md 6.3).
func (d *deployment) sweep() {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.server+"/admin/functions/Sweep", strings.NewReader(`{"input":""}`))
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := plain().Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		d.t.Fatalf("run Sweep by hand: status %d", resp.StatusCode)
	}
}

// untilStatus waits until the pair is as it must be.
func (d *deployment) untilStatus(what string, met func(api.Status) bool) {
	d.t.Helper()
	d.until(what, func() bool {
		s, err := d.api.Pair(d.t.Context(), pairName)
		return err == nil && met(s)
	})
}

// says demands that a text has all the words, in their order.
func (d *deployment) says(text string, words ...string) {
	d.t.Helper()
	rest := text
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			d.t.Errorf("expected %q in this order in:\n%s", words, text)
			return
		}
		rest = after
	}
}

// discreet demands that a text shows neither a secret nor a token.
func (d *deployment) discreet(who, text string) {
	d.t.Helper()
	for what, secret := range d.secrets {
		if strings.Contains(text, secret) {
			d.t.Errorf("%s shows %s", who, what)
		}
	}
	if strings.Contains(text, `eyJ`) || strings.Contains(text, "Bearer ") {
		d.t.Errorf("%s shows a token", who)
	}
}
