package loadmaster_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

// xmlExamples and jsonExamples are the example answers of a unit, by call.
var (
	xmlExamples = map[string]string{
		"getall": "v1-getall-excerpt.xml", "licenseinfo": "v1-licenseinfo.xml", "showiface": "v1-showiface.xml", "listvs": "v1-listvs.xml",
		"listfqdns": "v1-listfqdns.xml", "listclusters": "v1-listclusters.xml",
	}
	jsonExamples = map[string]string{"listvs": "v2-listvs.json", "showrule": "v2-rule-match.json", "listcert": "v2-listcert.json", "aclcontrol": "v2-aclcontrol-list.json"}
)

// settled answers from the examples of both dialects, whichever was asked in: the
// client reads answers by what they look like. What there is no example of, the
// unit does not know.
func settled(t *testing.T, other map[string]reply) func(call) reply {
	return func(c call) reply {
		if r, scripted := other[c.cmd]; scripted {
			return r
		}
		for _, examples := range []map[string]string{jsonExamples, xmlExamples} {
			if file := examples[c.cmd]; file != "" {
				return ok(fixture(t, file))
			}
		}
		return failed(c, 405, "Unknown command")
	}
}

func TestReadSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, settled(t, nil))
		s, err := w.client.ReadSettings(context.Background(), w.pair, settings.Everyday()...)
		if err != nil {
			t.Fatal(err)
		}
		for c, want := range map[settings.Class]string{
			settings.Parameters: "", settings.VirtualServices: "192.168.1.239/80/tcp", settings.GEONames: "www.example.com", settings.GEOClusters: "RemoteLM",
			settings.ContentRules: "rule1", settings.Certificates: "Example", settings.AccessLists: "allow 192.168.1.100/32",
		} {
			objects, read := s.Objects(c)
			if !read || len(objects) == 0 || objects[0].ID != want {
				t.Errorf("%s: read %v, %+v", c, read, objects)
			}
		}
		if _, read := s.Objects(settings.Hosts); read {
			t.Error("a class that the unit does not know counts as read")
		}
		if s.Origin.Serial != "1350841" || len(s.Interfaces) != 2 {
			t.Errorf("unit %+v, interfaces %+v", s.Origin, s.Interfaces)
		}
		asked := w.asked()
		if len(asked) > 50 {
			t.Errorf("%d calls", len(asked))
		}
		slices.Sort(asked)
		if !slices.Contains(asked, "v2 geoacl.listcustom") {
			t.Errorf("v2 has dots where v1 has slashes: %q", asked)
		}
	})
}

func TestReadSettingsOfAUnitThatFails(t *testing.T) {
	tests := []struct {
		name  string
		other map[string]reply
		want  error
		read  bool // GEO clusters
	}{
		{"a unit that falls silent gives no snapshot", map[string]reply{"listclusters": hangUp}, pair.ErrUnreachable, false},
		{"one that refuses gives none", map[string]reply{"listclusters": {status: 401, body: "Unauthorized"}}, pair.ErrRefused, false},
		{"a page in place of a class is a class that was not read", map[string]reply{"listclusters": ok("<html>")}, nil, false},
		{"an answer that says nothing of the class is one as well", map[string]reply{"listclusters": ok(`{"code":200,"clusters":"none","status":"ok"}`)}, nil, false},
		{"a permission that lacks makes a class that was not read", map[string]reply{"listclusters": {status: 403, body: `{"code":403,"message":"no","status":"fail"}`}}, nil, false},
		{"that there is no GEO data is an empty class", map[string]reply{"listclusters": {status: 422, body: `{"code":422,"message":"No geo data found","status":"fail"}`}}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, settled(t, tt.other))
				s, err := w.client.ReadSettings(context.Background(), w.pair, settings.GEOClusters)
				if !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				if _, read := s.Objects(settings.GEOClusters); read != tt.read {
					t.Errorf("clusters count as read: %v", read)
				}
			})
		})
	}
}

func TestSettingsMark(t *testing.T) {
	tests := []struct {
		name string
		body string
		want string
		err  error
	}{
		{"it is when the settings were changed", fixture(t, "v1-stats.xml"), "1637849309", nil},
		{"a unit that gives none does not look unchanged", `{"code":200,"status":"ok"}`, "", pair.ErrUnreadable},
		{"nor does one that gives something else", `{"code":200,"ChangeTime":"` + strings.Repeat("x", 5000) + `","status":"ok"}`, "", pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, settled(t, map[string]reply{"stats": ok(tt.body)}))
				mark, err := w.client.SettingsMark(context.Background(), w.pair)
				if mark != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("got %q, %v; want %q, %v", mark, err, tt.want, tt.err)
				}
			})
		})
	}
}
