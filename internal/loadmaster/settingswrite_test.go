package loadmaster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tandem/internal/loadmaster"
	"tandem/internal/pair"
	"tandem/internal/settings"
)

// toWrite are the writes that give a unit objects that it does not have, or has with
// other fields. Only a merge makes writes.
func toWrite(before, after []settings.Object) []settings.Write {
	var units [2]settings.Snapshot
	base := settings.Base{Classes: map[settings.Class][]settings.Object{}}
	for u := range units {
		units[u].Interfaces = []settings.Interface{{ID: fmt.Sprint(u), Address: unitAddr.Next()}}
		for _, o := range slices.Concat(before, after) {
			units[u].Put(o.Class, nil)
			base.Classes[o.Class] = nil
		}
	}
	put := func(s *settings.Snapshot, o settings.Object) {
		have, _ := s.Objects(o.Class)
		s.Put(o.Class, append(have, o))
	}
	for _, o := range after {
		put(&units[0], o)
	}
	for _, o := range before {
		put(&units[1], o)
		base.Classes[o.Class] = append(base.Classes[o.Class], o)
	}
	r := settings.Merge(base, &units[0], &units[1], settings.Policy{Active: pair.First, Prefer: settings.PreferFirst})
	return r.ToSecond
}

func object(c settings.Class, id string, fields ...string) settings.Object {
	o := settings.Object{Class: c, ID: id}
	for i := 0; i < len(fields); i += 2 {
		o.Fields = append(o.Fields, settings.Field{Name: fields[i], Value: fields[i+1]})
	}
	return o
}

// holder is a unit that holds parameters, hosts and one intermediate certificate, and
// nothing else that is asked for.
type holder struct {
	mu     sync.Mutex
	params map[string]string
	hosts  map[string]string
	cert   string
	allows []string
	state  string                   // hastatus
	other  func(call) (reply, bool) // comes first
	wrote  []call
}

func (h *holder) answer(c call) reply {
	h.mu.Lock()
	defer h.mu.Unlock()
	reads := strings.HasPrefix(c.cmd, "get") || strings.HasPrefix(c.cmd, "list") || strings.HasPrefix(c.cmd, "show") || strings.HasPrefix(c.cmd, "read") || strings.HasSuffix(c.cmd, "listcustom")
	if !reads {
		h.wrote = append(h.wrote, c)
	}
	if h.other != nil {
		if r, ok := h.other(c); ok {
			return r
		}
	}
	switch strings.ReplaceAll(c.cmd, ".", "/") {
	case "get hastatus":
		return field(c, "hastatus", h.state)
	case "getall":
		return answered(h.params)
	case "set":
		h.params[strings.ToLower(c.args["param"])] = c.args["value"]
		return done(c)
	case "gethosts":
		var all []map[string]string
		for ip, name := range h.hosts {
			all = append(all, map[string]string{"hostip": ip, "hostfqdn": name})
		}
		return answered(map[string]any{"HostsEntry": all})
	case "addhostsentry":
		h.hosts[c.args["hostip"]] = c.args["hostfqdn"]
		return done(c)
	case "delhostsentry":
		delete(h.hosts, c.args["hostip"])
		return done(c)
	case "listintermediate":
		if h.cert == "" {
			return answered(map[string]any{"cert": []any{}})
		}
		return answered(map[string]any{"cert": []map[string]string{{"name": "ca"}}})
	case "readintermediate":
		return answered(map[string]string{"certificate": h.cert})
	case "addintermediate":
		h.cert = c.file
		return done(c)
	case "geoacl/listcustom":
		var all []map[string]string
		for _, network := range h.allows {
			all = append(all, map[string]string{"addr": network})
		}
		return answered(map[string]any{"IP": all})
	case "geoacl/addcustom":
		h.allows = append(h.allows, c.args["addr"])
		return done(c)
	}
	return failed(c, 405, "Unknown command")
}

func answered(fields any) reply {
	inner, _ := json.Marshal(fields)
	return ok(`{"code":200,` + strings.TrimPrefix(string(inner), "{"))
}

func TestWritesInBothAPIs(t *testing.T) {
	long := strings.Repeat("a text of two lines\n", 100)
	tests := []struct {
		rule    string
		writes  []settings.Write
		creds   loadmaster.Credentials
		refused bool // of the JSON API
		check   func(*testing.T, *holder)
	}{
		{
			"a command with a slash has a dot in JSON", toWrite(nil, []settings.Object{object(settings.GEOAccessList, "10.6.0.0/16")}), withPassword, false,
			func(t *testing.T, h *holder) { wroteOnce(t, h, "geoacl.addcustom", "/accessv2") },
		},
		{
			"and a slash in XML", toWrite(nil, []settings.Object{object(settings.GEOAccessList, "10.6.0.0/16")}), withPassword, true,
			func(t *testing.T, h *holder) {
				wroteOnce(t, h, "geoacl/addcustom", "/access/geoacl/addcustom?addr=10.6.0.0%2F16")
			},
		},
		{
			"a value that is too long for a URL is a form", parameterWrites("motd", long), withPassword, true,
			func(t *testing.T, h *holder) {
				wroteOnce(t, h, "set", "/access/set")
				if h.params["motd"] != strings.TrimSpace(long) {
					t.Errorf("motd is %q", h.params["motd"])
				}
			},
		},
		{
			"a short one is not", parameterWrites("motd", "a\nb & c"), withPassword, true,
			func(t *testing.T, h *holder) { wroteOnce(t, h, "set", "/access/set?param=motd&value=a%0Ab+%26+c") },
		},
		{
			"an API key stands in no URL", parameterWrites("motd", "a"), withKey, true,
			func(t *testing.T, h *holder) { wroteOnce(t, h, "set", "/access/set") },
		},
		{
			"a certificate goes up as the body", toWrite(nil, []settings.Object{object(settings.Intermediates, "ca", "certificate", "PEM")}), withPassword, true,
			func(t *testing.T, h *holder) {
				wroteOnce(t, h, "addintermediate", "/access/addintermediate?cert=ca")
				if h.cert != "PEM\n" {
					t.Errorf("certificate is %q", h.cert)
				}
			},
		},
		{
			"or in JSON", toWrite(nil, []settings.Object{object(settings.Intermediates, "ca", "certificate", "PEM")}), withKey, false,
			func(t *testing.T, h *holder) {
				if h.cert != "PEM\n" {
					t.Errorf("certificate is %q", h.cert)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &holder{params: map[string]string{"version": "1"}, hosts: map[string]string{}}
				if tt.refused {
					h.other = func(c call) (reply, bool) { return reply{status: 404, body: "<html>"}, c.api == "v2" }
				}
				w := newWorld(t, h.answer)
				w.secrets.set(tt.creds)
				done, err := w.client.WriteSettings(context.Background(), w.pair, tt.writes)
				if err != nil || done != len(tt.writes) {
					t.Fatalf("%d of %d: %v", done, len(tt.writes), err)
				}
				h.wrote = slices.DeleteFunc(h.wrote, func(c call) bool { return tt.refused && c.api == "v2" })
				tt.check(t, h)
				before := len(h.wrote)
				if err := w.client.WriteSetting(context.Background(), w.pair, tt.writes[0]); err != nil || len(h.wrote) != before {
					t.Errorf("what is so already: %v, %v", err, h.wrote[before:])
				}
			})
		})
	}
}

func parameterWrites(name, value string) []settings.Write {
	return toWrite([]settings.Object{object(settings.Parameters, "")}, []settings.Object{object(settings.Parameters, "", name, strings.TrimSpace(value))})
}

func wroteOnce(t *testing.T, h *holder, command, url string) {
	t.Helper()
	if len(h.wrote) != 1 || h.wrote[0].cmd != command || h.wrote[0].url != url {
		t.Errorf("wrote %+v, want %s by %s", h.wrote, command, url)
	}
}

func TestWritesThatFail(t *testing.T) {
	hosts := toWrite(nil, []settings.Object{object(settings.Hosts, "1.1.1.1", "hostfqdn", "a"), object(settings.Hosts, "1.1.1.2", "hostfqdn", "b")})
	on := func(command string, r reply) func(call) (reply, bool) {
		return func(c call) (reply, bool) { return r, c.cmd == command && c.args["hostip"] != "1.1.1.1" }
	}
	tests := []struct {
		rule  string
		state string
		other func(call) (reply, bool)
		want  error
		not   error
	}{
		{"an answer that is lost leaves the outcome unknown, and is not asked for twice", "Active", on("addhostsentry", hangUp), pair.ErrUnknownOutcome, nil},
		{"values that an active unit does not accept are invalid", "Active", on("addhostsentry", reply{status: 422, body: `{"code":422,"message":"no","status":"fail"}`}), pair.ErrInvalid, settings.ErrStandbyRejects},
		{"a standby that says the same rejects writes", "Standby", on("addhostsentry", reply{status: 422, body: `{"code":422,"message":"no","status":"fail"}`}), settings.ErrStandbyRejects, pair.ErrInvalid},
		{"so does one that forbids it", "Passive", on("addhostsentry", reply{status: 403, body: `{"code":403,"message":"no","status":"fail"}`}), settings.ErrStandbyRejects, pair.ErrRefused},
		{"a command that is not known is no matter of standby", "Standby", on("addhostsentry", reply{status: 405, body: `{"code":405,"message":"Unknown command","status":"fail"}`}), pair.ErrNotFound, settings.ErrStandbyRejects},
		{"what a unit takes and forgets is a conflict", "Active", on("addhostsentry", ok(`{"code":200,"message":"Command completed ok","status":"ok"}`)), pair.ErrConflict, nil},
		{"a look without an answer is passed on", "Active", func(c call) (reply, bool) { return hangUp, c.cmd == "gethosts" }, pair.ErrUnreachable, nil},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &holder{hosts: map[string]string{"1.1.1.1": "a"}, state: tt.state, other: tt.other}
				w := newWorld(t, h.answer)
				done, err := w.client.WriteSettings(context.Background(), w.pair, hosts)
				if !errors.Is(err, tt.want) || tt.not != nil && errors.Is(err, tt.not) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if tt.want != pair.ErrUnreachable && done != 1 {
					t.Errorf("%d are made", done)
				}
				if errors.Is(err, pair.ErrUnknownOutcome) && len(h.wrote) != 1 {
					t.Errorf("it was sent %d times", len(h.wrote))
				}
			})
		})
	}
	t.Run("what object calls cannot make is refused before anything of it is sent", func(t *testing.T) {
		w := newWorld(t, (&holder{}).answer)
		if writes := toWrite([]settings.Object{object(settings.VPNs, "x")}, nil); len(writes) > 0 {
			t.Errorf("a merge makes %v", writes)
		}
		done, err := w.client.WriteSettings(context.Background(), w.pair, []settings.Write{{}})
		if done != 0 || !errors.Is(err, pair.ErrInvalid) || len(w.asked()) > 0 {
			t.Errorf("got %d, %v after %q", done, err, w.asked())
		}
	})
}

// TestNoMaskedSecretIsEverSent reads a unit that shows secrets as asterisks, of which a
// merge is to make writes.
func TestNoMaskedSecretIsEverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{params: map[string]string{"motd": "a", "radiussecret": "********", "snmpcommunity": "*****", "emailpassword": "********"}, hosts: map[string]string{}}
		w := newWorld(t, h.answer)
		full, err := w.client.ReadSettings(context.Background(), w.pair, settings.Parameters, settings.Hosts)
		if err != nil {
			t.Fatal(err)
		}
		objects, _ := full.Objects(settings.Parameters)
		empty := &holder{params: map[string]string{"version": "1"}, hosts: map[string]string{}}
		w.answer = empty.answer
		if _, err := w.client.WriteSettings(context.Background(), w.pair, toWrite([]settings.Object{object(settings.Parameters, "")}, objects)); err != nil {
			t.Fatal(err)
		}
		for _, c := range empty.wrote {
			if c.args["param"] != "motd" || strings.Contains(c.args["value"], "*") {
				t.Errorf("wrote %+v", c)
			}
		}
		if len(empty.wrote) != 1 {
			t.Errorf("wrote %d times", len(empty.wrote))
		}
	})
}
