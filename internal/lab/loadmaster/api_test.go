package loadmaster_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
)

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestV1Fixtures compares answers with the recorded and constructed ones,
// byte for byte where the reference has just this answer.
func TestV1Fixtures(t *testing.T) {
	old := func(o *loadmaster.Options) {
		o.HAModeWords, o.AllInterfaces = loadmaster.OldWords, loadmaster.AllInterfacesAbsent
	}
	tests := []struct {
		name, command string
		status        int
		fixture       string
		options       func(o *loadmaster.Options)
		replace       [2]string // in the fixture
		sameTree      bool      // compare elements and trimmed text rather than bytes
	}{
		{name: "a parameter has its value on a line of its own", command: "get?param=cachesize", status: 200, fixture: "v1-get-param.xml"},
		{name: "names have no case", command: "GET?PARAM=CacheSize", status: 200, fixture: "v1-get-param.xml"},
		{name: "hastatus", command: "get?param=hastatus", status: 200, fixture: "v1-get-hastatus-active.xml", sameTree: true},
		{name: "version", command: "get?param=version", status: 200, fixture: "v1-get-version.xml", sameTree: true},
		{name: "a missing argument", command: "get", status: 400, fixture: "v1-error-400-missing-value.xml"},
		{name: "an unknown parameter", command: "get?param=lmversion", status: 422, fixture: "v1-error-422-unknown-param.xml"},
		{
			name: "old firmware does not know hastatus", command: "get?param=hastatus", status: 422, fixture: "v1-error-422-unknown-param.xml",
			options: func(o *loadmaster.Options) { o.HAStatus = loadmaster.HAStatusUnknown }, replace: [2]string{"lmversion", "hastatus"},
		},
		{name: "an unknown command", command: "fly", status: 405, fixture: "v1-error-405-unknown-command.xml"},
		{name: "a plain success", command: "set?param=motd&value=hi", status: 200, fixture: "v1-plain-success.xml"},
		{name: "HA parameters", command: "getazurehaparams", status: 200, fixture: "v1-getazurehaparams.xml", replace: [2]string{"10.1.0.5", "10.0.0.5"}},
		{name: "HA parameters by the generic name", command: "getCloudHaParams", status: 200, fixture: "v1-getazurehaparams.xml", replace: [2]string{"10.1.0.5", "10.0.0.5"}},
		{name: "HA parameters of old firmware", command: "getazurehaparams", status: 200, fixture: "v1-getazurehaparams-legacy.xml", options: old},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) {
				if tt.options != nil {
					tt.options(&c.Options)
				}
			}, func(t *testing.T, l *lab) {
				l.running()
				want := fixture(t, tt.fixture)
				if tt.replace[0] != "" {
					want = strings.ReplaceAll(want, tt.replace[0], tt.replace[1])
				}
				if strings.Contains(tt.fixture, "legacy") { // it is one of a second unit without preference
					want = strings.NewReplacer("slave", "master", ">0<", ">1<", "10.1.0.4", "10.0.0.5").Replace(want)
				}
				status, got := l.v1(tt.command)
				if tt.sameTree {
					got, want = xmlTree(t, got), xmlTree(t, want)
				}
				if status != tt.status || got != want {
					t.Errorf("%s: got %d\n%q\nwant %d\n%q", tt.command, status, got, tt.status, want)
				}
			})
		})
	}
}

// xmlTree writes elements, attributes and trimmed text one to a line.
func xmlTree(t *testing.T, document string) string {
	t.Helper()
	var b strings.Builder
	for _, line := range xmlLines(t, document) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func xmlLines(t *testing.T, document string) []string {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(document))
	decoder.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		if charset != "ISO-8859-1" {
			return nil, fmt.Errorf("charset %s", charset)
		}
		raw, err := io.ReadAll(input)
		runes := make([]rune, 0, len(raw))
		for _, b := range raw {
			runes = append(runes, rune(b))
		}
		return strings.NewReader(string(runes)), err
	}
	var lines []string
	var path []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatalf("%v in %q", err, document)
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			lines = append(lines, fmt.Sprint(strings.Join(path, "/"), token.Attr))
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" {
				lines = append(lines, strings.Join(path, "/")+"="+text)
			}
		}
	}
}

// TestV1Shapes checks that answers whose values are the unit's own have the
// elements of the fixtures.
func TestV1Shapes(t *testing.T) {
	tests := []struct {
		command, fixture string
		less             []string // elements of the fixture that this unit does not have
	}{
		{"licenseinfo", "v1-licenseinfo.xml", nil},
		{"stats", "v1-stats.xml", []string{
			"Rs", "Rs/VSIndex", "Rs/RSIndex", "Rs/Addr", "Rs/Port", "Rs/Enable", "Rs/Weight", "Rs/ActivConns", "Rs/Persist", "Rs/Conns",
			"Network/eth0/in", "Network/eth0/inbytes", "Network/eth0/out", "Network/eth0/outbytes",
		}},
		{"getall", "v1-getall-excerpt.xml", []string{"wuiiface", "geosshport"}},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.running()
				status, body := l.v1(tt.command)
				got, want := xmlPaths(t, body), xmlPaths(t, fixture(t, tt.fixture))
				for _, path := range want {
					short := strings.TrimPrefix(path, "Response/Success/Data/")
					if !slices.Contains(got, path) && !slices.Contains(tt.less, short) {
						t.Errorf("%s lacks %s", tt.command, short)
					}
				}
				if status != 200 {
					t.Errorf("status %d: %s", status, body)
				}
			})
		})
	}
}

func xmlPaths(t *testing.T, document string) []string {
	t.Helper()
	var paths []string
	for _, line := range xmlLines(t, document) {
		if path, _, isElement := strings.Cut(line, "["); isElement && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestV1Forms(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		req, err := http.NewRequest(http.MethodPost, "https://10.0.0.4:8443/access/set", strings.NewReader("param=motd&value=caf%C3%A9+%E2%82%AC+%3Cb%3E"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("bal", "the-password")
		if resp, body, err := do(l.operator, req, time.Second); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/xml" {
			t.Fatalf("POST: %v %q %v", resp, body, err)
		}
		_, body := l.v1("get?param=motd")
		if want := "\ncaf\xe9 &#8364; &lt;b&gt;\n"; !strings.Contains(body, want) {
			t.Errorf("got %q, want %q in ISO-8859-1", body, want)
		}
		if got, ok := l.first.Parameter("MOTD"); got != "café € <b>" || !ok {
			t.Errorf("stored %q %v", got, ok)
		}
		if status, body, err := fetch(l.operator, "https://10.0.0.4:8443/access/get?param=cachesize&apikey=the-key", time.Second); status != 200 {
			t.Errorf("an API key in the query: %d %s %v", status, body, err)
		}
		if status, body := l.v1("get?param=" + strings.Repeat("x", 1024)); status != 414 {
			t.Errorf("a URL above 1024 characters: %d %s", status, body)
		}
		if status, _, err := fetch(l.operator, "https://10.0.0.4:8443/progs/status", time.Second); status != 404 {
			t.Errorf("another path: %d %v", status, err)
		}
	})
}

func TestV2Fixtures(t *testing.T) {
	tests := []struct {
		name, call string
		options    loadmaster.Options
		status     int
		fixture    string
		want       string // where there is no fixture
	}{
		{name: "hastatus", call: `"cmd":"get","param":"hastatus"`, status: 200, fixture: "v2-get-hastatus.json"},
		{name: "names have no case", call: `"CMD":"GET","Param":"HASTATUS"`, status: 200, fixture: "v2-get-hastatus.json"},
		{name: "HA parameters", call: `"cmd":"getazurehaparams"`, status: 200, fixture: "v2-getazurehaparams.json"},
		{name: "a plain success", call: `"cmd":"set","param":"geopartners","value":"172.24.1.7,172.24.1.8"`, status: 200, fixture: "v2-plain-success.json"},
		{
			name: "a nested answer to get", call: `"cmd":"get","param":"hastatus"`, options: loadmaster.Options{V2Get: loadmaster.V2GetNested}, status: 200,
			want: `{"code":200,"Success":{"Data":{"hastatus":"Standby"}},"status":"ok"}`,
		},
		{name: "numbers are numbers", call: `"cmd":"get","param":"cachesize"`, status: 200, want: `{"code":200,"cachesize":100,"status":"ok"}`},
		{name: "comma lists are arrays", call: `"cmd":"get","param":"nameserver"`, status: 200, want: `{"code":200,"nameserver":["168.63.129.16"],"status":"ok"}`},
		{name: "yes is true", call: `"cmd":"get","param":"enableapi"`, status: 200, want: `{"code":200,"enableapi":true,"status":"ok"}`},
		{
			name: "values may all be strings", call: `"cmd":"getazurehaparams"`,
			options: loadmaster.Options{V2Values: loadmaster.V2Strings, AllInterfaces: loadmaster.AllInterfacesPresent}, status: 200,
			want: `{"code":200,"AzureHA":{"HaMode":"first","HaPrefered":"1","Partner":"10.1.0.5","Port":"8444","HealthCheckAllInterfaces":"0"},"status":"ok"}`,
		},
		{name: "an unknown command", call: `"cmd":"fly"`, status: 405, want: `{"code":405,"message":"Unknown command","status":"fail"}`},
		{name: "no command", call: `"param":"hastatus"`, status: 400, want: `{"code":400,"message":"cmd: String Value missing","status":"fail"}`},
		{name: "an unknown parameter", call: `"cmd":"get","param":"lmversion"`, status: 422, want: `{"code":422,"message":"Unknown parameter value lmversion.","status":"fail"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.first.Start(standby)
				want := tt.want
				if tt.fixture != "" {
					want = fixture(t, tt.fixture)
				} else {
					want = indented(t, want)
				}
				want = strings.ReplaceAll(want, "10.1.0.5", "10.0.0.5")
				if status, got := l.v2(tt.call); status != tt.status || got != want {
					t.Errorf("got %d %s, want %d %s", status, got, tt.status, want)
				}
			})
		})
	}
}

func indented(t *testing.T, compact string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(compact), "", " "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestV2IsWellFormed decodes the answers too big for a fixture.
func TestV2IsWellFormed(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		for command, key := range map[string]string{
			"getall": "version", "stats": "ChangeTime", "vstotals": "VStotals", "licenseinfo": "LicenseStatus", "listapi": "commands",
		} {
			status, body := l.v2(`"cmd":"` + command + `"`)
			fields := map[string]any{}
			if err := json.Unmarshal([]byte(body), &fields); err != nil || status != 200 || fields[key] == nil || fields["status"] != "ok" {
				t.Errorf("%s: %d %s %v", command, status, body, err)
			}
			if !strings.HasPrefix(body, "{\n \"code\": 200,") || !strings.HasSuffix(body, "\"status\": \"ok\"\n}\n") {
				t.Errorf("%s: the code is not first or the status not last: %s", command, body)
			}
		}
	})
}

func TestListAPIListsWhatWorks(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		_, body := l.v1("listapi")
		commands := 0
		for _, line := range xmlLines(t, body) {
			name, isCommand := strings.CutPrefix(line, "Response/Success/Data/commands/cmd=")
			if !isCommand || name == "reboot" {
				continue
			}
			commands++
			if status, answer := l.v1(name); status == 405 {
				t.Errorf("%s: %s", name, answer)
			}
			time.Sleep(time.Second) // the limit of calls
		}
		if commands < 150 || !strings.Contains(body, "<version>7.2.59.0.22007.RELEASE</version>") {
			t.Errorf("%d commands in %s", commands, body)
		}
	})
}

func TestCredentials(t *testing.T) {
	const v2Path, v1Path = "https://10.0.0.4:8443/accessv2/ignored", "https://10.0.0.4:8443/access/get?param=cachesize"
	html := fixture(t, "v2-error-html-404.html")
	tests := []struct {
		name, url, body, password string
		options                   loadmaster.Options
		status                    int
		answer                    string // when it is refused
	}{
		{name: "v2 with the key", url: v2Path, body: `{"apikey":"the-key","cmd":"listapi"}`, status: 200},
		{name: "v2 with user and password", url: v2Path, body: `{"apiuser":"bal","apipass":"the-password","cmd":"listapi"}`, status: 200},
		{
			name: "v2 with a wrong key and the right password: the key wins", url: v2Path,
			body: `{"apikey":"wrong","apiuser":"bal","apipass":"the-password","cmd":"listapi"}`, status: 401, answer: fixture(t, "v2-error-401.json"),
		},
		{name: "v2 without anything", url: v2Path, body: `{"cmd":"listapi"}`, status: 401, answer: fixture(t, "v2-error-401.json")},
		{name: "v2 refuses with a page", url: v2Path, body: `{"cmd":"listapi"}`, options: loadmaster.Options{Unauthorized: loadmaster.UnauthorizedPage}, status: 401, answer: html},
		{name: "v2 refuses with a word", url: v2Path, body: `{"cmd":"listapi"}`, options: loadmaster.Options{Unauthorized: loadmaster.UnauthorizedWord}, status: 401, answer: "Unauthorized"},
		{name: "v2 without JSON", url: v2Path, body: `cmd=listapi`, status: 400},
		{name: "v1 with the password", url: v1Path, password: "the-password", status: 200},
		{name: "v1 with a wrong password", url: v1Path, password: "wrong", status: 401, answer: html},
		{name: "v1 with a wrong key", url: v1Path + "&apikey=wrong", password: "the-password", status: 401, answer: html},
		{name: "v1 without anything", url: v1Path, status: 401, answer: html},
		{name: "v1 refuses with a word", url: v1Path, options: loadmaster.Options{Unauthorized: loadmaster.UnauthorizedWord}, status: 401, answer: "Unauthorized"},
		{
			name: "v2 needs session management", url: v2Path, body: `{"apikey":"the-key","cmd":"listapi"}`,
			options: loadmaster.Options{V2NeedsSessionManagement: true}, status: 404, answer: html,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.running()
				req := request(t, tt.url)
				if tt.body != "" {
					req.Method, req.Body = http.MethodPost, io.NopCloser(strings.NewReader(tt.body))
				}
				if tt.password != "" {
					req.SetBasicAuth("bal", tt.password)
				}
				resp, body, err := do(l.operator, req, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != tt.status || tt.answer != "" && body != tt.answer {
					t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.status, tt.answer)
				}
				if isHTML := resp.Header.Get("Content-Type") == "text/html"; isHTML != (body == html) {
					t.Errorf("content type %s for %q", resp.Header.Get("Content-Type"), body)
				}
			})
		})
	}
}

func TestCredentialsChange(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.first.SetPassword("new")
		if status, _ := l.v1("listapi"); status != 401 {
			t.Errorf("the old password: %d", status)
		}
		l.first.SetAPIKey("")
		if status, _ := l.v2(`"cmd":"listapi"`); status != 401 {
			t.Errorf("the old key: %d", status)
		}
		if status, _ := l.v2Raw(`{"apiuser":"bal","apipass":"new","cmd":"listapi"}`); status != 200 {
			t.Errorf("the new password: %d", status)
		}
	})
}

func TestSessionManagementOpensV2(t *testing.T) {
	inLab(t, func(c *loadmaster.Config) { c.Options.V2NeedsSessionManagement = true }, func(t *testing.T, l *lab) {
		l.running()
		l.v1("set?param=sessioncontrol&value=yes")
		if status, body := l.v2(`"cmd":"listapi"`); status != 200 {
			t.Errorf("got %d %s", status, body)
		}
	})
}

func TestAPISwitch(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		steps := []struct {
			name, call string
			status     int
		}{
			{"yes and no are its only values", "set?param=enableapi&value=1", 422},
			{"off works at once", "set?param=enableapi&value=no", 200},
			{"off answers 404", "get?param=version", 404},
			{"off does not listen to 1", "set?param=enableapi&value=1", 404},
			{"off does not listen to another order", "set?value=yes&param=enableapi", 404},
			{"the one call that works", "set?param=enableapi&value=yes", 200},
			{"on again", "get?param=version", 200},
			{"the order matters even then", "set?value=yes&param=enableapi", 422},
		}
		for _, s := range steps {
			if status, body := l.v1(s.call); status != s.status {
				t.Errorf("%s: %s gave %d %s, want %d", s.name, s.call, status, body, s.status)
			}
		}
		l.first.SetAPIEnabled(false)
		if status, body := l.v2(`"cmd":"listapi"`); status != 404 || body != fixture(t, "v2-error-html-404.html") {
			t.Errorf("v2 while it is off: %d %s", status, body)
		}
		if status, _, err := fetch(l.operator, "https://10.0.0.4:8443/access/set?param=enableapi&value=yes", time.Second); status != 401 {
			t.Errorf("turning it on without credentials: %d %v", status, err)
		}
	})
}

func TestLimitOfCalls(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		calls := func(n int) (answered int, last error) {
			for range n {
				path := "access/listapi"
				if answered%2 == 1 {
					path = "accessv2"
				}
				status, _, err := fetch(l.operator, "https://10.0.0.4:8443/"+path, time.Second)
				if err != nil {
					return answered, err
				}
				if status == 401 || status == 400 {
					answered++
				}
			}
			return answered, nil
		}
		if n, err := calls(31); n != 30 || !errors.Is(err, io.EOF) {
			t.Errorf("31 calls at once: %d answered, then %v, want 30 and EOF", n, err)
		}
		time.Sleep(2999 * time.Millisecond)
		if n, err := calls(1); n != 0 {
			t.Errorf("just before the window ends: answered, %v", err)
		}
		time.Sleep(time.Millisecond)
		if n, err := calls(30); n != 30 {
			t.Errorf("three seconds later: %d answered, then %v, want 30", n, err)
		}
	})
}

func TestAPIFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults loadmaster.Faults
		status int // 0: no answer
		takes  time.Duration
	}{
		{name: "healthy", status: 200},
		{name: "connections end", faults: loadmaster.Faults{API: loadmaster.APIDrops}},
		{name: "the server fails", faults: loadmaster.Faults{API: loadmaster.APIServerError}, status: 500},
		{name: "nobody is let in", faults: loadmaster.Faults{API: loadmaster.APIUnauthorizedPage}, status: 401},
		{name: "nothing is found", faults: loadmaster.Faults{API: loadmaster.APINotFoundPage}, status: 404},
		{name: "the port is closed", faults: loadmaster.Faults{API: loadmaster.APIRefuses}},
		{name: "answers are slow", faults: loadmaster.Faults{APIDelay: 7 * time.Second}, status: 200, takes: 7 * time.Second},
		{name: "answers are too slow", faults: loadmaster.Faults{APIDelay: time.Hour}, takes: 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.running()
				l.first.SetFaults(tt.faults)
				begin := time.Now()
				status, body, err := fetch(l.operator, "https://10.0.0.4:8443/access/listapi?apikey=the-key", 30*time.Second)
				if took := time.Since(begin); status != tt.status || took != tt.takes {
					t.Errorf("got %d %q %v after %v, want %d after %v", status, body, err, took, tt.status, tt.takes)
				}
				l.first.SetFaults(loadmaster.Faults{})
				if status, body := l.v1("listapi"); status != 200 {
					t.Errorf("without the fault: %d %s", status, body)
				}
				l.expect("the API has no part in HA", active, standby)
			})
		})
	}
}

func TestHAParameters(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		steps := []struct {
			name, call string
			status     int
			want       string // in getazurehaparams afterwards
		}{
			{"one field leaves the others", "azurehaparam?haprefered=0", 200, "HaPrefered=0"},
			{"a partner may be a name", "setcloudhaparam?partner=lm2.example", 200, "Partner=lm2.example"},
			{"the SDK's trap: what its caller left out is 0", "azurehaparam?partner=10.0.0.5&hcp=8444&haprefered=0&hcai=0", 200, "HealthCheckAllInterfaces=0"},
			{"all interfaces", "azurehaparam?hcai=1", 200, "HealthCheckAllInterfaces=1"},
			{"nothing at all", "azurehaparam", 200, "HaPrefered=0"},
			{"an impossible preference", "azurehaparam?haprefered=2&hcai=0", 422, "HealthCheckAllInterfaces=1"},
			{"an impossible choice", "azurehaparam?hcai=yes", 422, "HealthCheckAllInterfaces=1"},
			{"an impossible port", "azurehaparam?hcp=0", 422, "Port=8444"},
			{"an impossible partner", "azurehaparam?partner=a%20b", 422, "Partner=10.0.0.5"},
			{"prefer first again", "azurehaparam?haprefered=1", 200, "HaPrefered=1"},
			{"the mode by an old word", "azurehamode?hamode=slave", 200, "HaMode=second"},
			{"the mode by a new word", "setcloudhamode?hamode=first", 200, "HaMode=first"},
			{"an impossible mode", "azurehamode?hamode=third", 422, "HaMode=first"},
			{"no mode", "azurehamode", 400, "HaMode=first"},
			{"the mode is not set as a parameter", "set?param=hamode&value=1", 422, "HaMode=first"},
		}
		for _, s := range steps {
			status, body := l.v1(s.call)
			_, after := l.v1("getazurehaparams")
			if status != s.status || !strings.Contains(xmlTree(t, after), "AzureHA/"+s.want+"\n") {
				t.Errorf("%s: %s gave %d %s and then %s, want %d and %s", s.name, s.call, status, body, after, s.status, s.want)
			}
			time.Sleep(time.Second) // the limit of calls
		}
		if status, body := l.v2Raw(strings.NewReplacer("<password>", "the-password", "10.1.0.5", "10.0.0.5").Replace(fixture(t, "request-v2-azurehaparam.json"))); status != 200 {
			t.Errorf("the request of the reference: %d %s", status, body)
		}
		if status, body := l.v2(`"cmd":"azurehaparam","haprefered":false,"hcp":8444`); status != 200 {
			t.Errorf("JSON booleans and numbers: %d %s", status, body)
		}
		if _, body := l.v1("get?param=haprefered"); !strings.Contains(body, "\n0\n") {
			t.Errorf("haprefered after a JSON false: %s", body)
		}
	})
}

func TestPreferenceWorksAtOnceOrAfterAReboot(t *testing.T) {
	for _, reboot := range []bool{false, true} {
		t.Run(fmt.Sprintf("needs a reboot %v", reboot), func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) {
				c.Preferred, c.Options.ParametersNeedReboot = false, reboot
			}, func(t *testing.T, l *lab) {
				l.first.Start(standby)
				l.second.Start(active)
				l.pass(20 * time.Second)
				l.expect("without preference", standby, active)
				l.v1Of(firstAddr, "azurehaparam?haprefered=1")
				l.v1Of(secondAddr, "azurehaparam?haprefered=1")
				l.pass(20 * time.Second)
				if !reboot {
					l.expect("prefer first works at once", active, standby)
					return
				}
				l.expect("prefer first waits for the reboot", standby, active)
				l.v1Of(firstAddr, "reboot")
				l.pass(time.Minute)
				if l.first.State() != active {
					t.Errorf("after the reboot:\n%s", l.transcript())
				}
			})
		})
	}
}

func TestModeWorksAfterARebootOrAtOnce(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at once %v", atOnce), func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options.ModeAppliesAtOnce = atOnce }, func(t *testing.T, l *lab) {
				l.running().pass(10 * time.Second)
				hamode := func() string { _, body := l.v1("get?param=hamode"); return xmlTree(t, body) }
				l.v1("azurehamode?hamode=single")
				if single := strings.Contains(hamode(), "hamode=0"); single != atOnce {
					t.Errorf("single now: %v", single)
				}
				l.v1("reboot")
				l.pass(time.Minute)
				if !strings.Contains(hamode(), "hamode=0") {
					t.Error("not single after the reboot")
				}
				l.expect("a single unit beside one that sees no partner", active, active)
				l.v1("azurehamode?hamode=first")
				if !atOnce {
					l.v1("reboot")
				}
				l.pass(time.Minute)
				l.expect("a pair again", active, standby)
			})
		})
	}
}

func TestAPersonConfiguresAtTheUnit(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		if err := l.second.Configure(map[string]string{"hcp": "8445"}); err != nil || strings.Contains(l.transcript(), "sets") {
			t.Errorf("a unit that is off: %v\n%s", err, l.transcript())
		}
		l.running()
		if status, _, err := fetch(l.operator, "http://10.0.0.5:8445/", time.Second); status != 503 {
			t.Errorf("its new check port answers %d %v, want 503", status, err)
		}
		if err := l.second.Configure(map[string]string{"HcP": "8446", "motd": "hi", "hamode": "first", "haprefered": "0", "partner": "10.0.0.9"}); err != nil {
			t.Fatal(err)
		}
		_, body := l.v1Of(secondAddr, "getazurehaparams")
		for _, want := range []string{"<HaMode>first<", "<HaPrefered>0<", "<Partner>10.0.0.9<", "<Port>8446<"} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
		if motd, _ := l.second.Parameter("motd"); motd != "hi" || !strings.Contains(l.transcript(), "lm2 sets hamode=first") {
			t.Errorf("motd is %q\n%s", motd, l.transcript())
		}
		for _, wrong := range []map[string]string{{"hamode": "third"}, {"hcp": "0"}, {"haprefered": "2"}, {"nonsense": "1"}} {
			if err := l.second.Configure(wrong); err == nil || !strings.Contains(err.Error(), "configure lm2") {
				t.Errorf("%v: got %v, want a refusal", wrong, err)
			}
		}
	})
}

func TestFirmwareRunsAfterTheNextBoot(t *testing.T) {
	version := func(l *lab) string {
		_, body := l.v1("get?param=version")
		_, list := l.v1("listapi")
		for _, v := range []string{"7.2.59.0.22007.RELEASE", "7.2.60.0.12345"} {
			if strings.Contains(body, v) && strings.Contains(list, v) {
				return v
			}
		}
		return body + list
	}
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.first.InstallFirmware("7.2.60.0.12345")
		if got := version(l); got != "7.2.59.0.22007.RELEASE" {
			t.Errorf("before the reboot it runs %s", got)
		}
		l.first.Reboot()
		l.pass(30 * time.Second)
		if got := version(l); got != "7.2.60.0.12345" {
			t.Errorf("after the reboot it runs %s", got)
		}
	})
}

func TestCheckPortMoves(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.v1("azurehaparam?hcp=9000")
		if status, _, err := fetch(l.operator, "http://10.0.0.4:9000/", time.Second); status != 200 {
			t.Errorf("the new port: %d %v", status, err)
		}
		if _, _, err := fetch(l.operator, "http://10.0.0.4:8444/", time.Second); err == nil {
			t.Error("the old port still answers")
		}
		l.v1("azurehaparam?hcp=8443") // taken by the API, which stays
		if status, _ := l.v1("listapi"); status != 200 {
			t.Errorf("the API: %d", status)
		}
	})
}

func TestHAStatus(t *testing.T) {
	tests := []struct {
		state   loadmaster.State
		fixture string
	}{
		{active, "v1-get-hastatus-active.xml"}, {standby, "v1-get-hastatus-standby.xml"}, {passive, "v1-get-hastatus-passive.xml"},
	}
	for _, tt := range tests {
		t.Run(tt.state.String(), func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.first.Start(tt.state)
				if _, got := l.v1("get?param=hastatus"); xmlTree(t, got) != xmlTree(t, fixture(t, tt.fixture)) {
					t.Errorf("got %s", got)
				}
				_, times := l.v1("get?param=activetime")
				if zero := xmlTree(t, times) == xmlTree(t, fixture(t, "v1-get-activetime-standby.xml")); zero != (tt.state != active) {
					t.Errorf("activetime: %s", times)
				}
				if _, mode := l.v1("get?param=hamode"); !strings.Contains(mode, "\n3\n") {
					t.Errorf("hamode: %s", mode)
				}
			})
		})
	}
}

func TestTimesAsText(t *testing.T) {
	inLab(t, func(c *loadmaster.Config) { c.Options.TimesAsText = true }, func(t *testing.T, l *lab) {
		l.running()
		if _, body := l.v1("get?param=activetime"); !strings.Contains(body, "\nSat Jan  1 00:00:00 UTC 2000\n") {
			t.Errorf("got %s", body)
		}
	})
}

func TestSecretsAreMasked(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		_, all := l.v1("getall")
		if !strings.Contains(all, "<radiussecret>********</radiussecret>") || strings.Contains(all, "lab-") {
			t.Errorf("getall shows %s", all)
		}
		l.v1("set?param=radiussecret&value=********")
		if got, _ := l.first.Parameter("radiussecret"); got != "********" {
			t.Errorf("a written mask was stored as %q", got)
		}
		if _, ok := l.first.Parameter("nonsense"); ok {
			t.Error("an unknown parameter exists")
		}
	})
}

func TestStandbyWrites(t *testing.T) {
	tests := []struct {
		name         string
		option       loadmaster.StandbyWrites
		status       int
		value, later string
	}{
		{"accepted", loadmaster.StandbyAcceptsWrites, 200, "new", "new"},
		{"rejected", loadmaster.StandbyRejectsWrites, 422, "", ""},
		{"lost at the next synchronisation", loadmaster.StandbyLosesWrites, 200, "new", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options.StandbyWrites = tt.option }, func(t *testing.T, l *lab) {
				l.running()
				if status, body := l.v1Of(secondAddr, "set?param=motd&value=new"); status != tt.status {
					t.Errorf("got %d %s, want %d", status, body, tt.status)
				}
				if status, body := l.v1Of(secondAddr, "set?param=hostname&value=mine"); status != 200 {
					t.Errorf("a local parameter: %d %s", status, body)
				}
				now, _ := l.second.Parameter("motd")
				l.pass(130 * time.Second)
				later, _ := l.second.Parameter("motd")
				if now != tt.value || later != tt.later {
					t.Errorf("got %q and later %q, want %q and %q", now, later, tt.value, tt.later)
				}
				if host, _ := l.second.Parameter("hostname"); host != "mine" {
					t.Errorf("hostname is %q", host)
				}
			})
		})
	}
}

func TestStatsCountAndChange(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		value := func(name string) string {
			_, body := l.v1("stats")
			for _, line := range xmlLines(t, body) {
				if text, ok := strings.CutPrefix(line, "Response/Success/Data/"+name+"="); ok {
					return text
				}
			}
			return ""
		}
		before := value("ChangeTime")
		for range 3 {
			_, _, _ = fetch(l.operator, "http://10.0.0.4/", time.Second)
		}
		if total, one := value("VStotals/TotalConns"), value("Vs/TotalConns"); total != "3" || one != "3" {
			t.Errorf("counted %q and %q, want 3", total, one)
		}
		if value("ChangeTime") != before {
			t.Error("ChangeTime changed without a change")
		}
		l.v1("azurehaparam?haprefered=1")
		if value("ChangeTime") != before {
			t.Error("ChangeTime changed by a write of the same value")
		}
		l.v1("azurehaparam?haprefered=0")
		if value("ChangeTime") == before {
			t.Error("ChangeTime did not change with the configuration")
		}
	})
}

func TestCertificate(t *testing.T) {
	var pins []string
	for range 2 {
		inLab(t, nil, func(t *testing.T, l *lab) {
			l.running()
			pins = append(pins, l.first.CertificateSHA256())
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(l.first.CertificatePEM())
			handshake := func() (string, error) {
				conn, err := l.operator.DialContext(t.Context(), "tcp", "10.0.0.4:8443")
				if err != nil {
					return "", err
				}
				defer conn.Close()
				secure := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "10.0.0.4"})
				if err := secure.HandshakeContext(t.Context()); err != nil {
					return "", err
				}
				sum := sha256.Sum256(secure.ConnectionState().PeerCertificates[0].Raw)
				return hex.EncodeToString(sum[:]), nil
			}
			if got, err := handshake(); got != pins[0] || err != nil {
				t.Errorf("got %s %v, want %s", got, err, pins[0])
			}
			l.first.RotateCertificate()
			if _, err := handshake(); !errors.As(err, new(*tls.CertificateVerificationError)) {
				t.Errorf("a new certificate: got %v, want a verification error", err)
			}
			if l.first.CertificateSHA256() == pins[0] || l.second.CertificateSHA256() == pins[0] {
				t.Error("two certificates are the same")
			}
		})
	}
	if pins[0] != pins[1] {
		t.Error("the same seed gave two certificates")
	}
}

func TestABodyTooLargeIsRefused(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		if status, _ := l.v2(`"cmd":"set","param":"motd","value":"` + strings.Repeat("x", 1<<20) + `"`); status != 400 {
			t.Errorf("got %d, want 400", status)
		}
	})
}
