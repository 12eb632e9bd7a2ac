package loadmaster

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tandem/internal/pair"
)

// FuzzBothDialectsTellTheSame writes two fields as XML and as JSON, flat and
// nested, as firmware does: they are read alike.
func FuzzBothDialectsTellTheSame(f *testing.F) {
	f.Add("hastatus", "Active", "boottime", "1637849309")
	f.Add("HaMode", " \"master\" ", "motd", "<p>5 < 6 & \"go\"<br></p>")
	f.Add("version", "7.2.59.0.22007.RELEASE", "x-1", "]]> <![CDATA[ Größe \u00a0 😀")
	f.Add("a", "", "A", "&lt;")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		for _, name := range []string{name1, name2} {
			if name == "" || nameLength(name) != len(name) || slices.Contains([]string{"code", "status", "message", "response", "success", "data"}, strings.ToLower(name)) {
				t.Skip()
			}
		}
		if strings.EqualFold(name1, name2) || !utf8.ValidString(value1) || !utf8.ValidString(value2) {
			t.Skip()
		}
		fields := map[string]string{name1: value1, name2: value2}
		for name, value := range fields {
			want := unpadded(value)
			for form, body := range inAllForms(t, fields) {
				a, err := decode(200, body)
				if err != nil || a.code != 200 || a.page {
					t.Fatalf("%s: code %d, page %t, %v\n%s", form, a.code, a.page, err, body)
				}
				if got, ok := a.data.value(name); !ok || got != want {
					t.Errorf("%s: %s is %q, %t; want %q\n%s", form, name, got, ok, want, body)
				}
			}
		}
	})
}

func inAllForms(t *testing.T, fields map[string]string) map[string][]byte {
	t.Helper()
	flat := map[string]any{"code": 200, "status": "ok"}
	nested := map[string]any{"Response": map[string]any{"Success": map[string]any{"Data": fields}}, "code": 200, "status": "ok"}
	var xml strings.Builder
	xml.WriteString(`<?xml version="1.0"?><Response stat="200" code="ok"><Success><Data>`)
	for name, value := range fields {
		flat[name] = value
		fmt.Fprintf(&xml, "<%s>%s</%s>", name, html.EscapeString(value), name)
	}
	xml.WriteString("</Data></Success></Response>")
	forms := map[string][]byte{"XML": []byte(xml.String())}
	for name, form := range map[string]any{"JSON": flat, "nested JSON": nested} {
		b, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		forms[name] = b
	}
	return forms
}

// kinds are all kinds that an answer may end in.
var kinds = []error{pair.ErrRefused, pair.ErrNotFound, pair.ErrThrottled, pair.ErrInvalid, pair.ErrUnreadable, pair.ErrUnknownOutcome}

// FuzzAnAnswerEndsInOneKindAndShowsNoSecret takes any answer, with our secrets
// in it as if the unit had echoed them. The error is of one kind, short, on
// one line and without them; what is kept of a success has none either; and a
// write that a unit answered oddly is never taken for not done.
func FuzzAnAnswerEndsInOneKindAndShowsNoSecret(f *testing.F) {
	creds := Credentials{APIKey: `k<e>y&"1234`, User: "bal", Password: `p\a+ss "word`}
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		for _, status := range []int{200, 422, 500} {
			f.Add(status, fixture(f, filepath.Base(file)))
		}
	}
	f.Add(422, []byte(`<Response stat="422"><Error>no $1, no $2, no &#107;&lt;e&gt;y&amp;"1234</Error></Response>`))
	f.Add(401, []byte(`{"code":401,"status":"fail","message":"$1\u0000$2 `+strings.Repeat("long ", 1000)+`"}`))
	f.Add(200, []byte(`{"code":200,"Partner":"$1","version":"$2"}`))
	f.Add(503, []byte("<html>$2</html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		said := strings.NewReplacer("$1", creds.APIKey, "$2", creds.Password).Replace(string(body))
		s := &session{unit: newAppliance(netip.MustParseAddrPort("10.0.0.4:8443"), 1), hider: creds.hider()}
		for _, c := range []command{get("hastatus"), {name: haWrite, write: true}} {
			a, err := decode(status, []byte(said))
			if err != nil {
				err = s.unreadable(c, s.shown(err.Error()))
			} else {
				err = s.verdict(c, v2, a)
			}
			if err != nil {
				checkError(t, err, creds)
				if c.write && status >= 500 && errors.Is(err, pair.ErrUnreadable) {
					t.Errorf("a write that was answered with %d: %v", status, err)
				}
				continue
			}
			version, _ := a.data.value("version")
			checkHidden(t, s.haParameters(a.data).Partner, creds)
			checkHidden(t, s.fact(version), creds)
		}
	})
}

func checkError(t *testing.T, err error, creds Credentials) {
	t.Helper()
	of := 0
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			of++
		}
	}
	text := err.Error()
	if of != 1 {
		t.Errorf("of %d kinds: %q", of, text)
	}
	if utf8.RuneCountInString(text) > 3*maxShown || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not fit to be shown: %q", text)
	}
	checkHidden(t, text, creds)
}

func checkHidden(t *testing.T, text string, creds Credentials) {
	t.Helper()
	if strings.Contains(text, creds.APIKey) || strings.Contains(text, creds.Password) {
		t.Errorf("shows a secret: %q", text)
	}
}

// FuzzConnections takes any answer for statistics: it is a number of connections,
// or it is none, and then nothing is said of how many there are.
func FuzzConnections(f *testing.F) {
	for _, file := range []string{"v1-stats.xml", "v1-plain-success.xml", "v2-showvs.json"} {
		f.Add(fixture(f, file))
	}
	f.Add([]byte(`{"code":200,"VStotals":{},"Vs":[{"ActiveConns":3},{"activconns":"4"},[]],"Rs":null}`))
	f.Add([]byte(`<Response><Success><Data><Vs><ActiveConns>2147483647</ActiveConns></Vs><Vs/></Data></Success></Response>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decode(200, body)
		if err != nil {
			return
		}
		n, err := connections(a.data)
		if n < 0 || err != nil && n != 0 {
			t.Errorf("%d connections, %v", n, err)
		}
		if err == nil && len(a.data.children("Vs")) == 0 && n != 0 {
			t.Errorf("%d connections without a service", n)
		}
	})
}

// FuzzFile takes any answer to a backup, in both forms: what is taken for a file
// is never an answer in words, and a file goes through both forms unchanged.
func FuzzFile(f *testing.F) {
	f.Add(200, "application/json", fixture(f, "v2-backup.json"))
	f.Add(200, "application/octet-stream", []byte("\x1f\x8b\x08\x00"))
	f.Add(200, "application/octet-stream", fixture(f, "v1-error-422-unknown-vs.xml"))
	f.Add(422, "text/xml", fixture(f, "v1-error-422-unknown-vs.xml"))
	f.Add(200, "", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		a, err := decodeFile(status, contentType, body)
		if err == nil && a.code < 300 && !a.page {
			file, ok := a.data.child(fileField)
			if !ok || file.text == "" {
				t.Errorf("a success without a file: %q", body)
			}
			if strings.HasPrefix(file.text, "<?xml") && file.text == string(body) {
				t.Errorf("words for a file: %q", body)
			}
		}
		if len(body) == 0 {
			return
		}
		inJSON, err := json.Marshal(map[string]any{"code": 200, "data": body, "status": "ok"}) // base64
		if err != nil {
			t.Fatal(err)
		}
		a, err = decodeFile(200, "application/json", inJSON)
		if file, _ := a.data.child(fileField); err != nil || file.text != string(body) {
			t.Errorf("got %q, %v; want %q", file.text, err, body)
		}
	})
}
