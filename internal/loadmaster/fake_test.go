package loadmaster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/lab/network"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

var (
	unitAddr = netip.MustParseAddr("10.0.0.4")
	ownAddr  = netip.MustParseAddr("10.0.0.100")
)

// secretKey and secretPassword have what escaping could miss.
const (
	secretKey      = `K3y+/<&"\x%41é`
	secretPassword = `p w:"&<\+é`
)

var (
	withKey      = loadmaster.Credentials{APIKey: secretKey}
	withPassword = loadmaster.Credentials{User: "bal", Password: secretPassword}
)

// secrets is a store of one secret that a test may change.
type secrets struct {
	mu    sync.Mutex
	creds loadmaster.Credentials
	err   error
}

func (s *secrets) Credentials(context.Context, string) (loadmaster.Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creds, s.err
}

func (s *secrets) set(c loadmaster.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creds = c
}

// call is one call as a unit sees it.
type call struct {
	api   string // v1 or v2
	cmd   string // "get hastatus", "azurehaparam"
	args  map[string]string
	login string // key, or user:password
	file  string // what was sent up, as bytes
	url   string
	at    time.Time
}

func (c call) String() string { return c.api + " " + c.cmd }

// reply is what a unit answers: a status and a body, or the end of the
// connection.
type reply struct {
	status int
	body   string
	header map[string]string
	hangUp bool          // close the connection instead
	raw    string        // what is written before hanging up
	delay  time.Duration // before anything
}

func ok(body string) reply { return reply{status: 200, body: body} }

var hangUp = reply{hangUp: true}

// unit is a unit that answers by a script and remembers what it was asked.
type unit struct {
	answer func(call) reply
	mu     sync.Mutex
	calls  []call
	conns  map[string]bool // remote addresses seen
}

func (u *unit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := readCall(r)
	u.mu.Lock()
	u.calls = append(u.calls, c)
	u.conns[r.RemoteAddr] = true
	u.mu.Unlock()
	a := u.answer(c)
	if a.delay > 0 {
		select {
		case <-time.After(a.delay):
		case <-r.Context().Done():
		}
	}
	if a.hangUp {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, a.raw)
			_ = conn.Close()
		}
		return
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func readCall(r *http.Request) call {
	c := call{api: "v1", args: map[string]string{}, url: r.URL.String(), at: time.Now()}
	if strings.HasPrefix(r.URL.Path, "/accessv2") {
		c.api = "v2"
		_ = json.NewDecoder(r.Body).Decode(&c.args)
		c.cmd = c.args["cmd"]
		raw, _ := base64.StdEncoding.DecodeString(c.args["data"])
		c.file = string(raw)
		delete(c.args, "cmd")
		delete(c.args, "data")
	} else {
		if r.Header.Get("Content-Type") == "application/octet-stream" {
			raw, _ := io.ReadAll(r.Body)
			c.file = string(raw)
		}
		_ = r.ParseForm()
		c.cmd = strings.TrimPrefix(r.URL.Path, "/access/")
		for k := range r.Form {
			c.args[k] = r.Form.Get(k)
		}
	}
	c.login = c.args["apikey"]
	if user, password, basic := r.BasicAuth(); basic {
		c.login = user + ":" + password
	} else if c.args["apiuser"] != "" {
		c.login = c.args["apiuser"] + ":" + c.args["apipass"]
	}
	for _, k := range []string{"apikey", "apiuser", "apipass"} {
		delete(c.args, k)
	}
	if c.cmd == "get" {
		c.cmd += " " + c.args["param"]
	}
	return c
}

// asked lists the calls so far.
func (u *unit) asked() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []string
	for _, c := range u.calls {
		list = append(list, c.String())
	}
	return list
}

func (u *unit) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls = nil
	clear(u.conns)
}

func (u *unit) connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.conns)
}

// world is a unit at 10.0.0.4:8443 in a network in memory, and a client of it.
type world struct {
	*unit
	host    *network.Host
	own     *network.Host
	client  *loadmaster.Client
	secrets *secrets
	pair    pair.Unit // how the client knows the unit
	logged  *strings.Builder
}

// newWorld must be called inside a bubble, or in real time where nothing waits.
func newWorld(t *testing.T, answer func(call) reply) *world {
	t.Helper()
	return newWorldWith(t, answer, certificate(t, authority{}, nil))
}

func newWorldWith(t *testing.T, answer func(call) reply, cert tls.Certificate) *world {
	t.Helper()
	n := network.New(network.Options{Seed: 1})
	w := &world{
		unit:    &unit{answer: answer, conns: map[string]bool{}},
		host:    n.Host("lm1", unitAddr),
		own:     n.Host("tandem", ownAddr),
		secrets: &secrets{creds: withKey},
		logged:  &strings.Builder{},
	}
	l, err := w.host.Listen(8443)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w.unit, ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})) })
	w.client = newClient(t, loadmaster.Options{Secrets: w.secrets, DialContext: w.own.DialContext, Log: textLogger(w.logged)})
	t.Cleanup(func() {
		w.client.Close()
		_ = server.Close()
		n.Close()
		serving.Wait()
	})
	w.pair = pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Port: 8443, Secret: "lm1-api", TLS: pair.TLS{SHA256: pin(cert)}}}
	return w
}

func newClient(t *testing.T, opts loadmaster.Options) *loadmaster.Client {
	t.Helper()
	c, err := loadmaster.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// healthy answers as a first unit that is active and whose HA parameters can
// be set, in both dialects.
type healthy struct {
	mu       sync.Mutex
	params   map[string]string
	version  string
	boot     int64
	changed  int64
	restored []string // kinds and files
}

// theBackup has bytes that no text has.
const theBackup = "\x1f\x8b\x08\x00 a backup of bytes: \xff\xfe\x00\r\n"

func newHealthy() *healthy {
	return &healthy{
		params:  map[string]string{"HaMode": "first", "HaPrefered": "1", "Partner": "10.0.0.5", "Port": "8444", "HealthCheckAllInterfaces": "unset"},
		version: "7.2.59.0.22007.RELEASE", boot: 1637800000, changed: 1637849309,
	}
}

func (h *healthy) answer(c call) reply {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch c.cmd {
	case "get hastatus":
		return field(c, "hastatus", "Active")
	case "get boottime":
		return field(c, "boottime", fmt.Sprint(h.boot))
	case "get version":
		return field(c, "version", h.version)
	case "stats":
		if c.api == "v2" {
			return ok(fmt.Sprintf(`{"code":200,"ChangeTime":%d,"VStotals":{"TotalConns":9},"Vs":[{"ActiveConns":3},{"ActiveConns":4}],"status":"ok"}`, h.changed))
		}
		return ok(xmlAnswer(fmt.Sprintf("<VStotals/><Vs><ActiveConns>3</ActiveConns></Vs><Vs><ActiveConns>4</ActiveConns></Vs><ChangeTime>%d</ChangeTime>", h.changed)))
	case "getazurehaparams":
		if c.api == "v2" {
			b, _ := json.Marshal(map[string]any{"code": 200, "AzureHA": h.params, "status": "ok"})
			return ok(string(b))
		}
		var inner strings.Builder
		for _, k := range slices.Sorted(maps.Keys(h.params)) {
			fmt.Fprintf(&inner, "<%s>\n%s\n</%s>\n", k, h.params[k], k)
		}
		return ok(xmlAnswer("<AzureHA>" + inner.String() + "</AzureHA>"))
	case "azurehaparam":
		for theirs, ours := range map[string]string{"partner": "Partner", "hcp": "Port", "haprefered": "HaPrefered", "hcai": "HealthCheckAllInterfaces"} {
			if v, ok := c.args[theirs]; ok {
				h.params[ours] = v
			}
		}
		return done(c)
	case "azurehamode":
		h.params["HaMode"] = c.args["hamode"]
		return done(c)
	case "reboot":
		return done(c)
	case "backup":
		if c.api == "v2" {
			return ok(fmt.Sprintf(`{"code":200,"data":%q,"status":"ok"}`, base64.StdEncoding.EncodeToString([]byte(theBackup))))
		}
		return reply{status: 200, body: theBackup, header: map[string]string{"Content-Type": "application/octet-stream"}}
	case "restore":
		h.restored = append(h.restored, c.args["type"]+" "+c.file)
		return done(c)
	}
	return failed(c, 405, "Unknown command")
}

func xmlAnswer(data string) string {
	return `<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="200" code="ok"><Success><Data>` + data + `</Data></Success></Response>`
}

func field(c call, name, value string) reply {
	if c.api == "v2" {
		return ok(fmt.Sprintf(`{"code":200,%q:%q,"status":"ok"}`, name, value))
	}
	return ok(xmlAnswer("<" + name + ">\n" + value + "\n</" + name + ">"))
}

func done(c call) reply {
	if c.api == "v2" {
		return ok(`{"code":200,"message":"Command completed ok","status":"ok"}`)
	}
	return ok(`<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="200" code="ok"><Success>Command completed ok</Success></Response>`)
}

func failed(c call, code int, message string) reply {
	if c.api == "v2" {
		return reply{status: code, body: fmt.Sprintf(`{"code":%d,"message":%q,"status":"fail"}`, code, message)}
	}
	return reply{status: code, body: fmt.Sprintf(`<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="%d" code="fail"><Error>%s</Error></Response>`, code, message)}
}

// authority signs certificates; the zero value means self-signed.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificate makes a certificate; edit may set its names. It is valid in the
// bubble's year 2000 as well as now.
func certificate(t testing.TB, by authority, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "LoadMaster " + serial.String()},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := by.cert, by.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	c := certificate(t, authority{}, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return authority{cert: c.Leaf, key: c.PrivateKey.(*ecdsa.PrivateKey)}
}

func pin(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// dialTo is a dialer that reaches one real listener whatever it is asked for.
func dialTo(l net.Listener) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
}
