package loadmaster_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
)

// backupOf takes the backup of a unit in the XML API, where it is the body.
func (l *lab) backupOf(addr netip.Addr) []byte {
	l.t.Helper()
	req := request(l.t, "https://"+addr.String()+":8443/access/backup")
	req.SetBasicAuth("bal", "the-password")
	resp, body, err := do(l.operator, req, time.Minute)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/octet-stream" {
		l.t.Fatalf("backup: %+v %v", resp, err)
	}
	return []byte(body)
}

// restoreOn puts a backup on a unit in the XML API.
func (l *lab) restoreOn(addr netip.Addr, kind int, file []byte) (int, string) {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://%s:8443/access/restore?type=%d", addr, kind), bytes.NewReader(file))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.SetBasicAuth("bal", "the-password")
	resp, body, err := do(l.operator, req, time.Minute)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (l *lab) serves(addr netip.Addr) bool {
	status, _, err := fetch(l.operator, "http://"+addr.String()+"/", time.Second)
	return err == nil && status == 200
}

func TestABackupIsAFileInBothAPIs(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		file := l.backupOf(firstAddr)
		if again := l.backupOf(firstAddr); len(file) == 0 || !bytes.Equal(file, again) {
			t.Errorf("two backups of the same settings differ, or have no bytes: %d, %d", len(file), len(again))
		}
		var example, got map[string]any
		status, body := l.v2(`"cmd":"backup"`)
		for text, into := range map[string]*map[string]any{fixture(t, "v2-backup.json"): &example, body: &got} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				t.Fatal(err)
			}
		}
		data, _ := got["data"].(string)
		raw, err := base64.StdEncoding.DecodeString(data)
		if status != 200 || err != nil || !bytes.Equal(raw, file) {
			t.Errorf("got %d %v, another file than in v1", status, err)
		}
		if len(got) != len(example) || got["code"] != example["code"] || got["status"] != example["status"] || !strings.HasPrefix(data, "H4sI") {
			t.Errorf("got %v, want it as in %v", got, example)
		}
	})
}

func TestARestoreTakesOverTheNamedParts(t *testing.T) {
	tests := []struct {
		name             string
		kind             int
		motd, geo, hasHA bool
		serves           bool
	}{
		{name: "everything", kind: 15, motd: true, geo: true, hasHA: true, serves: true},
		{name: "the base", kind: 1, motd: true, hasHA: true},
		{name: "the services", kind: 2, serves: true},
		{name: "GEO", kind: 4, geo: true},
		{name: "services and GEO", kind: 6, geo: true, serves: true},
		{name: "SSO, of which there is none here", kind: 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.running()
				l.v1("set?param=motd&value=hello")
				l.v1("set?param=geopartners&value=172.24.1.7")
				file := l.backupOf(firstAddr)
				l.first.Replace()
				l.first.License("the-key", "the-password")
				l.first.Start(active)
				if l.serves(firstAddr) {
					t.Fatal("a blank unit serves")
				}
				if status, body := l.restoreOn(firstAddr, tt.kind, file); status != 200 || body != fixture(t, "v1-plain-success.xml") {
					t.Fatal(status, body)
				}
				for parameter, want := range map[string]bool{"motd": tt.motd, "geopartners": tt.geo} {
					if value, _ := l.first.Parameter(parameter); (value != "") != want {
						t.Errorf("%s is %q", parameter, value)
					}
				}
				if _, body := l.v1("getazurehaparams"); strings.Contains(body, ">first<") != tt.hasHA {
					t.Errorf("HA: %s", body)
				}
				if got := l.serves(firstAddr); got != tt.serves {
					t.Errorf("serves: %t", got)
				}
			})
		})
	}
}

func TestARestoredServiceMayWaitForTheReboot(t *testing.T) {
	inLab(t, func(c *loadmaster.Config) { c.Options.RestoreNeedsReboot = true }, func(t *testing.T, l *lab) {
		l.running()
		file := l.backupOf(firstAddr)
		l.first.Replace()
		l.first.License("the-key", "the-password")
		l.first.Start(active)
		l.restoreOn(firstAddr, 2, file)
		if l.serves(firstAddr) {
			t.Error("it serves before the reboot")
		}
		l.v1("reboot")
		time.Sleep(time.Minute)
		if !l.serves(firstAddr) {
			t.Error("it does not serve after the reboot")
		}
	})
}

func TestTheBaseOfThePartnerMakesAUnitThePartner(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.restoreOn(firstAddr, 15, l.backupOf(secondAddr))
		_, body := l.v1("getazurehaparams")
		if !strings.Contains(body, ">second<") || !strings.Contains(body, ">10.0.0.4<") {
			t.Errorf("first has the settings of second and is its own partner: %s", body)
		}
		if want := "restores base settings, services, GEO, SSO from a backup of lm2"; !strings.Contains(l.transcript(), want) {
			t.Errorf("the transcript lacks %q:\n%s", want, l.transcript())
		}
	})
}

func TestRestoresThatAreRefused(t *testing.T) {
	var example map[string]string
	if err := json.Unmarshal([]byte(fixture(t, "request-v2-restore.json")), &example); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, fields string
		status       int
		says         string
	}{
		{"the example, whose data is no backup", fmt.Sprintf(`"cmd":%q,"data":%q,"type":%q`, example["cmd"], example["data"], example["type"]), 422, "Invalid backup file"},
		{"bytes that are no backup", `"cmd":"restore","data":"eHl6","type":"15"`, 422, "Invalid backup file"},
		{"no data", `"cmd":"restore","type":"15"`, 400, "data: String Value missing"},
		{"no part", `"cmd":"restore","data":"eHl6","type":0`, 422, "Unknown parameter value type"},
		{"a part that there is not", `"cmd":"restore","data":"eHl6","type":16`, 422, "Unknown parameter value type"},
		{"no word of parts", `"cmd":"restore","data":"eHl6"`, 422, "Unknown parameter value type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.running()
				if status, body := l.v2(tt.fields); status != tt.status || !strings.Contains(body, tt.says) {
					t.Errorf("got %d %s", status, body)
				}
				if !l.serves(firstAddr) {
					t.Error("it had an effect")
				}
			})
		})
	}
}

func TestABlankUnit(t *testing.T) {
	replaced := func(l *lab) {
		l.running().pass(10 * time.Second)
		l.v1("set?param=motd&value=hello")
		l.first.Replace()
		l.first.PowerOn()
		l.pass(time.Minute)
	}
	t.Run("is another appliance at the same address", func(t *testing.T) {
		inLab(t, func(c *loadmaster.Config) { c.CheckPort = 9000 }, func(t *testing.T, l *lab) {
			pin := l.first.CertificateSHA256()
			serial, _ := l.first.Parameter("serialnumber")
			replaced(l)
			l.expect("it is single, and its partner serves alone", active, active)
			if other, _ := l.first.Parameter("serialnumber"); other == serial || l.first.CertificateSHA256() == pin {
				t.Errorf("serial %s, the same as before, or the same certificate", other)
			}
			if motd, _ := l.first.Parameter("motd"); motd != "" || l.serves(firstAddr) {
				t.Errorf("it is not empty: motd %q", motd)
			}
			if status, _, err := fetch(l.operator, "http://10.0.0.4:9000/", time.Second); err == nil {
				t.Errorf("its check port answers %d", status)
			}
			if _, body := l.v1("get?param=hastatus"); !strings.Contains(body, "HA not configured") {
				t.Error(body)
			}
		})
	})
	t.Run("asks nobody for credentials, and knows what reads", func(t *testing.T) {
		inLab(t, nil, func(t *testing.T, l *lab) {
			replaced(l)
			if status, body := l.v2Raw(`{"apikey":"wrong","cmd":"licenseinfo"}`); status != 200 || !strings.Contains(body, "Unlicensed") {
				t.Errorf("licenseinfo: %d %s", status, body)
			}
			for _, command := range []string{"azurehamode?hamode=first", "azurehaparam?haprefered=0", "backup", "restore?type=1", "set?param=motd&value=x"} {
				if status, body := l.v1(command); status != 422 || !strings.Contains(body, "unlicensed") {
					t.Errorf("%s: %d %s", command, status, body)
				}
			}
			if l.first.FailedLogins() != 0 {
				t.Error("a login failed, and nobody asked for one")
			}
		})
	})
	t.Run("may have its API off", func(t *testing.T) {
		inLab(t, func(c *loadmaster.Config) { c.Options.UnlicensedAPI = loadmaster.UnlicensedAPIOff }, func(t *testing.T, l *lab) {
			replaced(l)
			if status, _ := l.v1("get?param=version"); status != 404 {
				t.Errorf("before: %d", status)
			}
			l.first.License("the-key", "the-password")
			if status, _ := l.v1("get?param=version"); status != 200 {
				t.Errorf("licensed: %d", status)
			}
		})
	})
	t.Run("asks for credentials once it is licensed", func(t *testing.T) {
		inLab(t, nil, func(t *testing.T, l *lab) {
			replaced(l)
			l.first.License("another-key", "the-password")
			if status, _ := l.v2(`"cmd":"listapi"`); status != 401 {
				t.Errorf("with the key of the old unit: %d", status)
			}
			if status, body := l.v1("azurehamode?hamode=first"); status != 200 {
				t.Error(status, body)
			}
		})
	})
}

func TestConnectionsOfTheMomentAreCounted(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		count := func() string {
			_, body := l.v1("stats")
			for _, line := range xmlLines(t, body) {
				if text, ok := strings.CutPrefix(line, "Response/Success/Data/Vs/ActiveConns="); ok {
					return text
				}
			}
			return ""
		}
		var conns []io.Closer
		for range 3 {
			conn, err := l.operator.DialContext(t.Context(), "tcp", "10.0.0.4:80")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		time.Sleep(time.Second)
		counts := []string{count()}
		_ = conns[0].Close()
		time.Sleep(time.Second)
		counts = append(counts, count())
		l.v1("reboot")
		l.pass(time.Minute)
		if counts = append(counts, count()); !slices.Equal(counts, []string{"3", "2", "0"}) {
			t.Errorf("counted %q, want three, two after one was closed, and none after the reboot", counts)
		}
	})
}

func TestConnectionsOfAUnitThatBecomesStandby(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %t", keeps), func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) {
				c.Preferred, c.Options.StandbyKeepsConnections = false, keeps
			}, func(t *testing.T, l *lab) {
				l.first.Start(standby)
				l.second.Start(active)
				l.pass(10 * time.Second)
				conn, err := l.operator.DialContext(t.Context(), "tcp", "10.0.0.5:80")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				asks := func() bool {
					_ = conn.SetDeadline(time.Now().Add(time.Second))
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: lm2\r\n\r\n")
					n, _ := conn.Read(make([]byte, 4096))
					return n > 0
				}
				if !asks() {
					t.Fatal("the active unit does not answer")
				}
				for _, addr := range []netip.Addr{firstAddr, secondAddr} {
					l.v1Of(addr, "azurehaparam?haprefered=1") // first takes over
				}
				l.pass(20 * time.Second)
				l.expect("first is preferred", active, standby)
				if got := asks(); got != keeps {
					t.Errorf("the connection stands: %t", got)
				}
				if l.serves(secondAddr) {
					t.Error("a standby takes a new connection")
				}
				l.v1Of(secondAddr, "reboot")
				l.pass(10 * time.Second)
				if asks() {
					t.Error("the connection outlives a reboot")
				}
			})
		})
	}
}

func TestABootThatDoesNotEnd(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.second.SetFaults(loadmaster.Faults{StuckBoot: true})
		l.pass(time.Minute)
		l.expect("before it boots", active, standby)
		l.second.Reboot()
		l.pass(10 * time.Minute)
		l.expect("ten minutes later", active, booting)
		if n := strings.Count(l.transcript(), "lm2 does not come up, and boots again"); n < 25 || n > 30 {
			t.Errorf("it booted %d times in ten minutes", n)
		}
		l.second.SetFaults(loadmaster.Faults{})
		l.pass(time.Minute)
		l.expect("when it is mended", active, standby)
	})
}
