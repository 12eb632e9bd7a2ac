package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab"
	labarm "tandem/internal/lab/arm"
)

// deployed is a world of the lab, the Resource Manager of which a person who is
// signed in to the Azure CLI reaches on this machine.
func deployed(t *testing.T, sc lab.Scenario) command {
	t.Helper()
	sc.Name, sc.For = "test", time.Minute
	w, err := lab.New(sc, lab.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.Authority())
	inside := &http.Transport{DialContext: w.Worker().DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}}
	to := &url.URL{Scheme: "https", Host: lab.ManagerName}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Transport: inside, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(func() {
		server.Close()
		inside.CloseIdleConnections()
		w.Close()
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	signIn(t)
	return command{environ: []string{
		"TANDEM_CLOUD=custom", "TANDEM_ARM_ENDPOINT=" + server.URL, "TANDEM_CA_FILE=" + file(t, "ca.pem", string(ca)),
		"AZURE_SUBSCRIPTION_ID=00000000-0000-0000-0000-000000000001",
	}}
}

// signIn puts an Azure CLI first in the path in which somebody is signed in.
func signIn(t *testing.T) {
	t.Helper()
	now := time.Now()
	token := labarm.UnsignedToken(lab.Person, "", "", now, now.Add(time.Hour))
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho '{\"accessToken\": %q, \"expires_on\": %d}'\n", token, now.Add(time.Hour).Unix())
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_SUBSCRIPTION_ID"} {
		t.Setenv(name, "")
	}
}

func TestDiscoverWritesWhatIsThere(t *testing.T) {
	c := deployed(t, lab.Scenario{Neighbours: 1})
	got := c.run(t, "discover", "--resource-group", "rg-edge")
	if got.code != exitDone || got.err != "" {
		t.Fatalf("got %+v", got)
	}
	has(t, "the files", got.out, "\n---\n", "name: edge-neu\n", "name: edge-weu\n", "# tandem plan has nothing to write")
	if v := (command{}).run(t, "validate", "-f", file(t, "found.yaml", got.out)); v.out != "pair edge-neu is valid\npair edge-weu is valid\n" {
		t.Errorf("validate says %+v", v)
	}
}

func TestDiscoverForPrograms(t *testing.T) {
	c := deployed(t, lab.Scenario{Neighbours: 1})
	got := c.run(t, "discover", "-g", "rg-edge", "--vm", "lm2", "--vm", "lm1", "-o", "json")
	var out discovered
	if err := json.Unmarshal([]byte(got.out), &out); err != nil || got.code != exitDone {
		t.Fatalf("%v: %+v", err, got)
	}
	if len(out.Pairs) != 1 || out.Pairs[0].Name != "edge-weu" || len(out.Pairs[0].Guesses) == 0 || out.Skipped == nil {
		t.Fatalf("got %+v", out)
	}
	has(t, "the file", out.Pairs[0].File, "vm: lm2\n    address: 10.0.0.5\n", "mode: observe\n")
	has(t, "the answer", got.out, `"field": "units.first.api.secret",`+"\n"+`          "value": "lm2-api",`, `"skipped": []`, `"notes": [`)
}

func TestDiscoverWritesFilesOnceUnlessForced(t *testing.T) {
	c := deployed(t, lab.Scenario{Neighbours: 1})
	dir := filepath.Join(t.TempDir(), "pairs")
	all := []string{"discover", "-g", "rg-edge", "--dir", dir}
	first := c.run(t, all...)
	if first.code != exitDone {
		t.Fatalf("got %+v", first)
	}
	has(t, "the answer", first.out, "pair edge-neu written to "+filepath.Join(dir, "edge-neu.yaml"), "pair edge-weu written to ")
	written := filepath.Join(dir, "edge-weu.yaml")
	if err := os.WriteFile(written, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "edge-neu.yaml")); err != nil {
		t.Fatal(err)
	}
	if got := c.run(t, all...); got.code != exitBadInput || !strings.Contains(got.err, written+" exists: give --force") {
		t.Errorf("got %+v", got)
	}
	if b, err := os.ReadFile(written); err != nil || string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "edge-neu.yaml")); err == nil {
		t.Error("a part was written")
	}
	if got := c.run(t, append(all, "--force")...); got.code != exitDone {
		t.Errorf("got %+v", got)
	}
	if v := (command{}).run(t, "validate", "-f", written); v.code != exitDone {
		t.Errorf("validate says %+v", v)
	}
}

func TestDiscoverOfNothing(t *testing.T) {
	c := deployed(t, lab.Scenario{Fresh: true})
	if got := c.run(t, "discover", "-g", "rg-edge"); got.code != exitFound || got.out != "" || got.err != "no pair was found in the resource group rg-edge\n" {
		t.Errorf("got %+v", got)
	}
	if got := c.run(t, "discover", "-g", "rg-edge", "-o", "json"); got.code != exitFound || got.out != "{\n  \"pairs\": [],\n  \"skipped\": []\n}\n" || got.err != "" {
		t.Errorf("got %+v", got)
	}
	got := c.run(t, "discover", "-g", "rg-edge", "--vm", "lm1", "--vm", "lm7")
	if got.code != exitFound {
		t.Errorf("got %+v", got)
	}
	has(t, "the reasons", got.err, "skipped: VM lm7: there is no such virtual machine in the resource group rg-edge\n")
}

func TestDiscoverThatFails(t *testing.T) {
	c := deployed(t, lab.Scenario{})
	if got := c.run(t, "discover", "-g", "rg-nowhere"); got.code != exitFailed || !strings.Contains(got.err, "rg-nowhere") {
		t.Errorf("a resource group that does not exist: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(strings.Split(os.Getenv("PATH"), string(os.PathListSeparator))[0], "az"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := c.run(t, "discover", "-g", "rg-edge"); got.code != exitFailed || !strings.Contains(got.err, "signed-in person") {
		t.Errorf("nobody is signed in: %+v", got)
	}
}

func TestDiscoverRefusesWrongInput(t *testing.T) {
	const id = "00000000-0000-0000-0000-000000000001"
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		says    string
	}{
		{"no resource group", nil, []string{"--subscription", id}, "--resource-group"},
		{"no subscription", nil, []string{"-g", "rg-edge"}, "AZURE_SUBSCRIPTION_ID"},
		{"a subscription by its name", nil, []string{"-g", "rg-edge", "--subscription", "Production"}, "a UUID"},
		{"one machine", nil, []string{"-g", "rg-edge", "--subscription", id, "--vm", "lm1"}, "expected two machines"},
		{"one machine twice", nil, []string{"-g", "rg-edge", "--subscription", id, "--vm", "lm1", "--vm", "LM1"}, "expected two machines"},
		{"force without a directory", nil, []string{"-g", "rg-edge", "--subscription", id, "--force"}, "--dir"},
		{"settings that are wrong", []string{"TANDEM_CLOUD=moon"}, []string{"-g", "rg-edge", "--subscription", id}, "TANDEM_CLOUD"},
	} {
		got := command{environ: tt.environ}.run(t, append([]string{"discover"}, tt.args...)...)
		if got.code != exitBadInput || got.out != "" || !strings.Contains(got.err, tt.says) {
			t.Errorf("%s: got %+v, want %q", tt.name, got, tt.says)
		}
	}
}
