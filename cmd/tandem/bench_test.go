package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/lab/arm"
	"tandem/internal/pair"
)

// packaged builds the program as `make app` does and returns its path.
func packaged(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "tandem")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// child is the packaged program in a process of its own, started as the
// Functions host starts it.
type child struct {
	b   *testing.B
	cmd *exec.Cmd
	url string
}

func startChild(b *testing.B, path string, environ ...string) *child {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) // it is our own
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	c := &child{b: b, cmd: exec.Command(path, "serve"), url: "http://127.0.0.1:" + port}
	c.cmd.Env = append(environ, "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return c
}

// stop kills it, as the host does.
func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // always an error: it was killed
}

// firstAnswer asks until the program answers.
func (c *child) firstAnswer() {
	c.b.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		req, err := http.NewRequestWithContext(c.b.Context(), http.MethodGet, c.url+"/", http.NoBody)
		if err != nil {
			c.b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	c.b.Fatal("no answer within 30 s")
}

// BenchmarkStart measures from the start of the packaged program to its first
// answer, which shall take less than 100 ms: the host waits for it when an
// event starts a new instance.
func BenchmarkStart(b *testing.B) {
	path := packaged(b)
	for b.Loop() {
		c := startChild(b, path, "AzureWebJobsStorage=UseDevelopmentStorage=true")
		c.firstAnswer()
		b.StopTimer()
		c.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/start")
}

// benchPairs is how many pairs BenchmarkMemory has.
const benchPairs = 1000

// BenchmarkMemory measures how much memory the packaged program needs for 1,000
// pairs that are looked at again and again, which shall be less than 80 MB. All
// units answer, each at an address of its own, by check port and by API over
// TLS; the load balancers are read; and as many messages are under way as the
// host has them (host.json). The store is the embedded one, so the state and the
// journal of all pairs are in the figure.
//
// One operation is one look at all pairs.
func BenchmarkMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads the memory of a process from /proc, and needs all of 127.0.0.0/8")
	}
	u := unitsOf(b)
	manager, authority := managerOf(b)
	identity, err := arm.NewIdentity(arm.IdentityConfig{Secret: lab.IdentitySecret, System: lab.Tandem})
	if err != nil {
		b.Fatal(err)
	}
	tokens := httptest.NewServer(identity)
	b.Cleanup(tokens.Close)
	c := startChild(b, packaged(b),
		"TANDEM_STORE=embedded", "TANDEM_SECRET_KEY=key", "TANDEM_CLOUD=custom", "TANDEM_ARM_ENDPOINT="+manager, "TANDEM_CA_FILE="+authority,
		"IDENTITY_ENDPOINT="+tokens.URL, "IDENTITY_HEADER="+lab.IdentitySecret)
	b.Cleanup(c.stop)
	c.firstAnswer()
	operator, err := api.NewClient(c.url, "", http.DefaultClient)
	if err != nil {
		b.Fatal(err)
	}
	for n := range benchPairs {
		if _, err := operator.Apply(b.Context(), benchName(n), u.file(n), false); err != nil {
			b.Fatal(err)
		}
	}
	for range 3 {
		c.lookAtAll()
	}
	for b.Loop() {
		c.lookAtAll()
	}
	pairs, err := operator.Pairs(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	healthy := 0
	for _, p := range pairs {
		if p.Situation == pair.Healthy {
			healthy++
		}
	}
	// Units, Resource Manager and the program share the machine, so some of
	// them may be too slow for a check that lasts two seconds.
	if healthy < benchPairs/2 {
		b.Fatalf("%d of %d pairs are healthy: it is not what goes on in a quiet hour that was measured", healthy, benchPairs)
	}
	b.ReportMetric(float64(healthy), "healthy")
	b.ReportMetric(c.memory("VmRSS"), "rss-MB")
	b.ReportMetric(c.memory("VmHWM"), "peak-MB")
}

func benchName(n int) string { return fmt.Sprintf("pair-%04d", n) }

// memory reads one line of the process's status, in MB.
func (c *child) memory(field string) float64 {
	c.b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.b.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				c.b.Fatal(err)
			}
			return kB * 1024 / 1e6
		}
	}
	c.b.Fatalf("no %s in the process's status", field)
	return 0
}

// lookAtAll does what the host does at one tick of the timer: it calls Sweep,
// and hands out the messages that follow, batchSize and newBatchThreshold at a
// time. The messages are made here, because nobody drains the embedded queue.
func (c *child) lookAtAll() {
	c.b.Helper()
	c.invoke(c.b.Context(), "Sweep", map[string]any{"timer": map[string]any{}})
	const atOnce, perMessage = 12, 50
	var wg sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for first := 0; first < benchPairs; first += perMessage {
		names := make([]string, perMessage)
		for n := range names {
			names[n] = benchName(first + n)
		}
		m, err := json.Marshal(map[string]any{"v": 1, "kind": "wake", "pairs": names, "cause": map[string]string{"kind": "sweep"}})
		if err != nil {
			c.b.Fatal(err)
		}
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			c.invoke(c.b.Context(), "ReconcilePair", map[string]any{"message": string(m)})
		})
	}
	wg.Wait()
}

func (c *child) invoke(ctx context.Context, function string, data map[string]any) {
	body, err := json.Marshal(map[string]any{"Data": data, "Metadata": map[string]any{}})
	if err != nil {
		c.b.Error(err)
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/"+function, bytes.NewReader(body))
	if err != nil {
		c.b.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.b.Errorf("%s: status %d", function, resp.StatusCode)
	}
}

// benchUnits are 2,000 units in one server. The address at which a unit is
// asked tells which it is: 127.1.x.y are the first ones, 127.2.x.y the second.
type benchUnits struct {
	checkPort, apiPort int
	pin                string
}

func benchAddr(role byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, role, byte(n >> 8), byte(n)})
}

// isFirst tells from the address at which a request came in.
func isFirst(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && len(at.IP.To4()) == 4 && at.IP.To4()[1] == 1
}

func unitsOf(b *testing.B) benchUnits {
	b.Helper()
	listen := func(handler http.HandlerFunc) *httptest.Server {
		l, err := net.Listen("tcp", "0.0.0.0:0") // all of 127.0.0.0/8; what comes from elsewhere gets the same answers
		if err != nil {
			b.Fatal(err)
		}
		s := httptest.NewUnstartedServer(handler)
		_ = s.Listener.Close()
		s.Listener = l
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		b.Cleanup(s.Close)
		return s
	}
	check := listen(func(w http.ResponseWriter, r *http.Request) {
		if !isFirst(r) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	check.Start()
	checkPort := check.Listener.Addr().(*net.TCPAddr).Port
	unit := listen(answerAsUnit(checkPort))
	certificate := selfSigned(b)
	unit.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	unit.StartTLS()
	sum := sha256.Sum256(certificate.Certificate[0])
	return benchUnits{
		checkPort: checkPort, apiPort: unit.Listener.Addr().(*net.TCPAddr).Port, pin: hex.EncodeToString(sum[:]),
	}
}

// selfSigned makes a certificate with an elliptic key: 2,000 units on one
// machine have no time for RSA.
func selfSigned(b *testing.B) tls.Certificate {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "unit"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// answerAsUnit answers what a report asks (loadmaster.md 1.6, 2.1, 2.2), as a unit
// does that is set up as its pair file says.
func answerAsUnit(checkPort int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c struct{ Cmd, Param string }
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer := map[string]any{"code": 200, "status": "ok"}
		at := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr).IP.To4()
		mode, state, partner := "second", "Standby", byte(1)
		if isFirst(r) {
			mode, state, partner = "first", "Active", 2
		}
		switch {
		case c.Cmd == "getazurehaparams":
			answer["AzureHA"] = map[string]any{
				"HaMode": mode, "HaPrefered": 1, "Partner": benchAddr(partner, int(at[2])<<8|int(at[3])).String(), "Port": checkPort, "HealthCheckAllInterfaces": false,
			}
		case c.Param == "hastatus":
			answer["hastatus"] = state
		case c.Param == "version":
			answer["version"] = "7.2.61.0.22800.RELEASE"
		case c.Param == "boottime":
			answer["boottime"] = "1700000000"
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// file is the pair file of one pair.
func (u benchUnits) file(n int) []byte {
	name := benchName(n)
	return fmt.Appendf(nil, `apiVersion: tandem/v1
kind: Pair
name: %[1]s
mode: auto
azure: { subscription: 00000000-0000-0000-0000-000000000001, resourceGroup: rg-edge, location: westeurope }
units:
  first:  { vm: %[1]s-a, address: %[2]s, api: { port: %[4]d, secret: key, tls: { sha256: "%[6]s" } } }
  second: { vm: %[1]s-b, address: %[3]s, api: { port: %[4]d, secret: key, tls: { sha256: "%[6]s" } } }
ha: { checkPort: %[5]d }
loadBalancers:
  - name: ilb-%[7]d
    pools: [ loadmasters ]
    frontends: [ { name: vip1, address: 10.0.0.100 } ]
    rules: [ { name: check, frontend: vip1, port: %[5]d }, { name: https, frontend: vip1, port: 443 } ]
failover: { fence: auto }
`, name, benchAddr(1, n), benchAddr(2, n), u.apiPort, u.checkPort, u.pin, n)
}

// managerOf serves the load balancers, and returns its address and the file with
// its certificate.
func managerOf(b *testing.B) (endpoint, authority string) {
	b.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, number, _ := strings.Cut(r.URL.Path, "/ilb-")
		n, err := strconv.Atoi(number)
		if err != nil || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var members []any
		for role := range byte(2) {
			members = append(members, map[string]any{"name": fmt.Sprint("member-", role), "properties": map[string]any{
				"ipAddress": benchAddr(role+1, n).String(), "adminState": "None",
			}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "ilb-" + number, "id": r.URL.Path, "etag": `W/"1"`, "properties": map[string]any{
			"provisioningState": "Succeeded",
			"backendAddressPools": []any{map[string]any{
				"name": "loadmasters", "id": r.URL.Path + "/backendAddressPools/loadmasters", "etag": `W/"1"`,
				"properties": map[string]any{"provisioningState": "Succeeded", "loadBalancerBackendAddresses": members},
			}},
		}})
	}))
	b.Cleanup(s.Close)
	authority = filepath.Join(b.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		b.Fatal(err)
	}
	return s.URL, authority
}
