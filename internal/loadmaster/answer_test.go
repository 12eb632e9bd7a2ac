package loadmaster

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tandem/internal/pair"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryExampleIsUnderstood(t *testing.T) {
	tests := []struct {
		file    string
		status  int
		code    int
		message string
		field   string // looked up in this case
		value   string
	}{
		{file: "v1-get-hastatus-active.xml", status: 200, code: 200, field: "hastatus", value: "Active"},
		{file: "v1-get-hastatus-standby.xml", status: 200, code: 200, field: "HaStatus", value: "Standby"},
		{file: "v1-get-hastatus-passive.xml", status: 200, code: 200, field: "hastatus", value: "Passive"},
		{file: "v1-get-hastatus-none.xml", status: 200, code: 200, field: "hastatus", value: "HA not configured"},
		{file: "v1-get-activetime-standby.xml", status: 200, code: 200, field: "activetime", value: "0"},
		{file: "v1-get-param.xml", status: 200, code: 200, field: "cachesize", value: "100"},
		{file: "v1-get-version.xml", status: 200, code: 200, field: "version", value: "7.2.59.0.22007.RELEASE"},
		{file: "v1-getall-excerpt.xml", status: 200, code: 200, field: "wuitlsprotocols", value: "7"},
		{file: "v1-stats.xml", status: 200, code: 200, field: "ChangeTime", value: "1637849309"},
		{file: "v1-licenseinfo.xml", status: 200, code: 200, field: "LicenseStatus", value: "Single Perm"},
		{file: "v1-plain-success.xml", status: 200, code: 200, message: "Command completed ok"},
		{file: "v1-error-400-missing-value.xml", status: 400, code: 400, message: "param: String Value missing"},
		{file: "v1-error-405-unknown-command.xml", status: 405, code: 405, message: "Unknown command"},
		{file: "v1-error-422-unknown-param.xml", status: 422, code: 422, message: "Unknown parameter value lmversion."},
		{file: "v1-error-422-unknown-vs.xml", status: 200, code: 422, message: "Unknown VS"},
		{file: "v1-error-422-acl-gslb.xml", status: 422, code: 422, message: "Cannot disable aclcontrol while GSLB is enabled"},
		{file: "v1-error-422-cipherset-in-use.xml", status: 422, code: 422, message: "Command Failed: Cipher set in use"},
		{file: "v1-error-422-user-exists.xml", status: 422, code: 422, message: "User already exists."},
		{file: "v1-error-no-geo-data.xml", status: 422, code: 422, message: "No geo data found"},
		{file: "v2-get-hastatus.json", status: 200, code: 200, field: "hastatus", value: "Standby"},
		{file: "v2-plain-success.json", status: 200, code: 200, message: "Command completed ok"},
		{file: "v2-error-401.json", status: 401, code: 401, message: "Authorization Required"},
		{file: "v2-error-422-unknown-vs.json", status: 200, code: 422, message: "Unknown VS"},
		{file: "v2-backup.json", status: 200, code: 200, field: "data", value: "H4sIAAAAAAAA..."},
		{file: "v2-showvs.json", status: 200, code: 200, field: "Status", value: "Down"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			a, err := decode(tt.status, fixture(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if a.code != tt.code || a.page || a.message != tt.message {
				t.Errorf("got code %d, page %t, message %q; want %d, %q", a.code, a.page, a.message, tt.code, tt.message)
			}
			if got, ok := a.data.value(tt.field); tt.field != "" && (!ok || got != tt.value) {
				t.Errorf("%s: got %q %t, want %q", tt.field, got, ok, tt.value)
			}
		})
	}
}

func TestHAParametersOfEveryRelease(t *testing.T) {
	tests := []struct {
		name string
		file string
		body string
		want HAParameters
	}{
		{
			name: "current firmware says first and unset", file: "v1-getazurehaparams.xml",
			want: HAParameters{Role: pair.First, Partner: "10.1.0.5", CheckPort: 8444, Preferred: pair.PreferFirst},
		},
		{
			name: "old firmware says slave and does not tell about interfaces", file: "v1-getazurehaparams-legacy.xml",
			want: HAParameters{Role: pair.Second, Partner: "10.1.0.4", CheckPort: 8444, Preferred: pair.PreferNone},
		},
		{name: "a unit without HA leaves everything empty", file: "v1-getcloudhaparams-single.xml"},
		{
			name: "another element name under Data", file: "v1-getawshaparams.xml",
			want: HAParameters{Role: pair.First, Partner: "172.18.0.5", CheckPort: 8444, Preferred: pair.PreferNone},
		},
		{
			name: "JSON has numbers and booleans", file: "v2-getazurehaparams.json",
			want: HAParameters{Role: pair.First, Partner: "10.1.0.5", CheckPort: 8444, Preferred: pair.PreferFirst},
		},
		{
			name: "JSON may have text for both", body: `{"code":200,"AzureHA":{"HaMode":"Second","HaPrefered":"0","Partner":"lm1","Port":"8445","HealthCheckAllInterfaces":"yes"},"status":"ok"}`,
			want: HAParameters{Role: pair.Second, Partner: "lm1", CheckPort: 8445, Preferred: pair.PreferNone, AllInterfaces: true},
		},
		{
			name: "JSON may be flat, with other cases", body: `{"code":200,"hamode":"MASTER","haprefered":true,"partner":"10.1.0.5","port":8444,"healthcheckallinterfaces":1,"status":"ok"}`,
			want: HAParameters{Role: pair.First, Partner: "10.1.0.5", CheckPort: 8444, Preferred: pair.PreferFirst, AllInterfaces: true},
		},
		{
			name: "JSON may be nested as XML is", body: `{"code":200,"Success":{"Data":{"AzureHA":{"HaMode":"slave"}}},"status":"ok"}`,
			want: HAParameters{Role: pair.Second},
		},
		{
			name: "JSON may wrap the object into a list of one", body: `{"code":200,"AzureHA":[{"HaMode":"first"}],"status":"ok"}`,
			want: HAParameters{Role: pair.First},
		},
		{name: "null and nonsense are not told", body: `{"code":200,"AzureHA":{"HaMode":null,"HaPrefered":2,"Port":99999,"Partner":"a\u0000b"},"status":"ok"}`},
		{name: "an answer without fields tells nothing", body: `{"code":200,"status":"ok"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			if tt.file != "" {
				body = fixture(t, tt.file)
			}
			a, err := decode(200, body)
			if err != nil {
				t.Fatal(err)
			}
			if got := plainSession().haParameters(a.data); got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// plainSession is enough of a session to read answers with.
func plainSession() *session { return &session{hider: strings.NewReplacer()} }

func TestOddShapes(t *testing.T) {
	latin := "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Response stat=\"200\" code=\"ok\"><Success><Data><motd>M\xfcnchen</motd></Data></Success></Response>"
	banner := `<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="200" code="ok"><Success><Data><motd><p class=x>5 < 6 & "go" <br>on</b><script>if (a<b) {}</script></motd><next>1</next></Data></Success></Response>`
	tests := []struct {
		name   string
		status int
		body   string
		code   int
		page   bool
		field  string
		value  string
	}{
		{name: "a login page is a page", status: 401, body: "<html><body>Login</body></html>", code: 401, page: true},
		{name: "the page of a switched off API is a page", status: 404, body: string(fixture(t, "v2-error-html-404.html")), code: 404, page: true},
		{name: "a bare word is a page", status: 401, body: "Unauthorized", code: 401, page: true},
		{name: "nothing is a page", status: 200, body: " \r\n", code: 200, page: true},
		{name: "the worse of HTTP status and code counts", status: 500, body: `{"code":200,"status":"ok"}`, code: 500},
		{name: "fail without a code is a failure", status: 200, body: `{"status":"fail"}`, code: 422},
		{name: "an Error element without a code is a failure", status: 200, body: `<Response><Error>no</Error></Response>`, code: 422},
		{name: "the word ok for 200 is a success", status: 200, body: `<Response stat="ok"><Success>done</Success></Response>`, code: 200},
		{name: "the word success is a success", status: 200, body: `{"code":"200","status":"success"}`, code: 200},
		{name: "a code that is no number is a failure", status: 200, body: `{"code":"???"}`, code: 422},
		{name: "Status and status are two things", status: 200, body: `{"code":200,"Status":"Up","status":"ok"}`, code: 200, field: "Status", value: "Up"},
		{name: "a field in another case is found", status: 200, body: `{"HASTATUS":"Active"}`, code: 200, field: "hastatus", value: "Active"},
		{name: "a byte order mark is passed over", status: 200, body: "\xef\xbb\xbf{\"x\":1}", code: 200, field: "x", value: "1"},
		{name: "booleans are words", status: 200, body: `{"x":false}`, code: 200, field: "x", value: "false"},
		{name: "big numbers keep their digits", status: 200, body: `{"x":12345678901234567890}`, code: 200, field: "x", value: "12345678901234567890"},
		{name: "old firmware quotes and pads", status: 200, body: "<Response><Success><Data><x>\n \"a b \n\"\n</x></Data></Success></Response>", code: 200, field: "x", value: "a b"},
		{name: "ISO-8859-1 becomes UTF-8", status: 200, body: latin, code: 200, field: "motd", value: "München"},
		{name: "raw HTML is a value", status: 200, body: banner, code: 200, field: "motd", value: `<p class=x>5 < 6 & "go" <br>on</b><script>if (a<b) {}</script>`},
		{name: "what follows raw HTML is still found", status: 200, body: banner, code: 200, field: "next", value: "1"},
		{name: "entities are resolved", status: 200, body: "<Response><Success><Data><x>a&amp;b&#10;&lt;c</x></Data></Success></Response>", code: 200, field: "x", value: "a&b\n<c"},
		{name: "CDATA is text", status: 200, body: "<Response><Success><Data><x><![CDATA[<a>&amp;]]></x></Data></Success></Response>", code: 200, field: "x", value: "<a>&amp;"},
		{name: "an empty element is an empty value", status: 200, body: "<Response><Success><Data><x/></Data></Success></Response>", code: 200, field: "x"},
		{name: "comments are passed over", status: 200, body: "<Response><!-- <x>0</x> --><Success><Data><x>1</x></Data></Success></Response>", code: 200, field: "x", value: "1"},
		{name: "an XML answer to a JSON call is understood", status: 401, body: `<Response stat="401" code="fail"><Error>no</Error></Response>`, code: 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := decode(tt.status, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if a.code != tt.code || a.page != tt.page {
				t.Errorf("got code %d, page %t; want %d, %t", a.code, a.page, tt.code, tt.page)
			}
			if got, ok := a.data.value(tt.field); tt.field != "" && (!ok || got != tt.value) {
				t.Errorf("%s: got %q %t, want %q", tt.field, got, ok, tt.value)
			}
		})
	}
}

func TestWhatCannotBeUnderstoodIsAnError(t *testing.T) {
	tests := []struct{ name, body string }{
		{"JSON cut off", `{"code":200,`},
		{"two JSON values", `{"code":200}{"code":200}`},
		{"JSON that is only begun", `{`},
		{"XML cut off", `<?xml version="1.0"?><Response stat="200"><Success><Data><hastatus>Act`},
		{"XML cut off inside a tag", `<Response stat="200"><Success><Data><hastatus>Active</hastatus></Da`},
		{"XML that is something else", `<?xml version="1.0"?><rss></rss>`},
		{"bytes of an encoding that is not declared", "<Response><Error>\xff</Error></Response>"},
		{"an encoding that units do not use", "<?xml version=\"1.0\" encoding=\"UTF-16\"?><Response>\xff</Response>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, err := decode(200, []byte(tt.body)); err == nil {
				t.Errorf("got %+v, want an error", a)
			}
		})
	}
}

// leaves lists the texts of a document, depth first.
func leaves(e element) []string {
	kids := slices.DeleteFunc(slices.Clone(e.kids), func(k element) bool { return strings.HasPrefix(k.name, "@") })
	if len(kids) == 0 {
		return []string{e.name + "=" + strings.TrimSpace(e.text)}
	}
	var all []string
	for _, kid := range kids {
		all = append(all, leaves(kid)...)
	}
	return all
}

// xmlLeaves does the same with encoding/xml.
func xmlLeaves(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	var value strings.Builder
	leaf := ""
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			leaf = v.Name.Local
			value.Reset()
		case xml.CharData:
			value.Write(v)
		case xml.EndElement:
			if leaf == v.Name.Local {
				all = append(all, leaf+"="+strings.TrimSpace(value.String()))
			}
			leaf = ""
		}
	}
}

func TestWellFormedXMLReadsAsTheStandardLibraryReadsIt(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		text := string(bytes.ReplaceAll(fixture(t, filepath.Base(file)), []byte(`encoding="ISO-8859-1"`), nil))
		document, err := parseMarkup(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got, want := leaves(document), xmlLeaves(t, text); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", file, got, want)
		}
	}
}

func TestDeepAndBrokenMarkupEndsSoon(t *testing.T) {
	const size = maxAnswer / 32
	tests := map[string]string{
		"deep":           strings.Repeat("<a>", size) + strings.Repeat("</a>", size),
		"open quotes":    strings.Repeat(`<a b="`, size),
		"open comments":  strings.Repeat(`<!--`, size),
		"stray ends":     strings.Repeat(`</b>`, size),
		"only brackets":  strings.Repeat(`<`, size),
		"one long name":  "<" + strings.Repeat("a", size),
		"long names":     strings.Repeat("<"+strings.Repeat("a", 5000), size/5000),
		"unclosed CDATA": strings.Repeat(`<![CDATA[`, size),
	}
	for name, inside := range tests {
		t.Run(name, func(t *testing.T) {
			_, _ = decode(200, []byte("<Response><Error>"+inside+"</Error></Response>"))
		})
	}
	t.Run("deep JSON", func(t *testing.T) {
		body := `{"x":` + strings.Repeat("[", size) + strings.Repeat("]", size) + "}"
		if _, err := decode(200, []byte(body)); err == nil {
			t.Error("want an error")
		}
	})
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(200, fixture(f, filepath.Base(file)))
	}
	f.Add(401, []byte("Unauthorized"))
	f.Add(200, []byte("<Response><Success><Data><motd><p>a<br></b>&nbsp;</motd></Data></Success></Response>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a, err := decode(status, body)
		if err != nil {
			return
		}
		if a.code < status {
			t.Errorf("code %d is better than HTTP status %d", a.code, status)
		}
		ha := plainSession().haParameters(a.data)
		if ha.CheckPort < 0 || ha.CheckPort > 65535 || len(ha.Partner) > maxShown {
			t.Errorf("impossible parameters %+v", ha)
		}
		text, _ := a.data.value("boottime")
		if _, err := timeOf(text).MarshalJSON(); err != nil {
			t.Errorf("boottime %q cannot be stored: %v", text, err)
		}
	})
}
