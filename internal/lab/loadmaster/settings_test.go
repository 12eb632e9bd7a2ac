package loadmaster_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// settled is a first unit with one of everything that fixtures show.
func settled(l *lab) {
	l.running()
	l.at(l.first, "addvs", "vs", "192.168.1.235", "port", "6443", "prot", "tcp", "vstype", "http2", "forcel4", "1", "defaultgw", "192.168.1.1",
		"checktype", "https", "checkport", "8080", "checkhost", "foo.bar.baz", "checkurl", "/healthz", "checkcodes", "303 606 909", "nickname", "foo")
	l.at(l.first, "addrs", "vs", "192.168.1.235", "port", "6443", "prot", "tcp", "rs", "10.10.10.10", "rsport", "8080")
	l.at(l.first, "addrule", "name", "rule1", "matchtype", "regex", "inchost", "1", "nocase", "1", "incquery", "1", "pattern", "^/test", "setonmatch", "4", "header", "")
	l.at(l.first, "addrule", "name", "rule4", "type", "1", "header", "X-HEADER", "replacement", "test", "onlyonflag", "1", "onlyonnoflag", "2")
	l.at(l.first, "aclcontrol", "add", "allow", "addr", "192.168.1.100")
	l.at(l.first, "addcert", "cert", "Example", "data", base64.StdEncoding.EncodeToString([]byte(pem)))
	l.at(l.first, "owasprules", "vs", "192.168.1.235", "port", "6443", "prot", "tcp", "rule", "913100", "enable", "yes")
}

const pem = "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nprivate\n-----END PRIVATE KEY-----\n"

// TestSettingsHaveTheShapesOfTheFixtures holds that every field of a recorded answer
// is there, in JSON with the type that it has there.
func TestSettingsHaveTheShapesOfTheFixtures(t *testing.T) {
	const vs = `"vs":"192.168.1.235","port":"6443","prot":"tcp"`
	inLab(t, nil, func(t *testing.T, l *lab) {
		settled(l)
		for _, tt := range []struct{ call, fixture string }{
			{`"cmd":"showvs",` + vs, "v2-showvs.json"},
			{`"cmd":"showvs",` + vs, "v2-addvs.json"},
			{`"cmd":"showrs",` + vs, "v2-showrs.json"},
			{`"cmd":"showrule","name":"rule1"`, "v2-rule-match.json"},
			{`"cmd":"showrule","name":"rule4"`, "v2-rule-addheader.json"},
			{`"cmd":"aclcontrol","list":"allow"`, "v2-aclcontrol-list.json"},
			{`"cmd":"listcert"`, "v2-listcert.json"},
			{`"cmd":"readcert","cert":"Example"`, "v2-readcert.json"},
			{`"cmd":"owasprules","rule":"913100",` + vs, "v2-owasprule.json"},
		} {
			time.Sleep(time.Second) // the limit of calls
			status, body := l.v2(tt.call)
			var got, want any
			if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
				t.Errorf("%s: %d %s %v", tt.call, status, body, err)
				continue
			}
			if err := json.Unmarshal([]byte(fixture(t, tt.fixture)), &want); err != nil {
				t.Fatal(err)
			}
			for _, wrong := range shapeless("", got, want) {
				t.Errorf("%s, as in %s: %s", tt.call, tt.fixture, wrong)
			}
		}
		const query = "?vs=192.168.1.235&port=6443&prot=tcp"
		for _, tt := range []struct{ call, fixture string }{
			{"showvs" + query, "v1-addvs.xml"}, {"showrs" + query, "v1-showrs.xml"}, {"listvs", "v1-listvs-subvs.xml"}, {"showiface", "v1-showiface.xml"},
		} {
			if tt.call == "listvs" {
				l.v1("modvs" + query + "&createsubvs=")
				sub, _ := l.first.Setting("virtual-services 192.168.1.235/6443/tcp")
				if sub != "present" {
					t.Error("the service is gone")
				}
				l.v1("addrs?vs=" + l.subIndex() + "&rs=10.154.0.100&rsport=80")
			}
			time.Sleep(time.Second)
			_, body := l.v1(tt.call)
			got := xmlPaths(t, body)
			for _, path := range xmlPaths(t, fixture(t, tt.fixture)) {
				if !slices.Contains(got, path) {
					t.Errorf("%s lacks %s of %s", tt.call, path, tt.fixture)
				}
			}
		}
	})
}

// subIndex is the number of the one service that lies in another.
func (l *lab) subIndex() string {
	_, body := l.v1("listvs")
	for _, line := range xmlLines(l.t, body) {
		if text, ok := strings.CutPrefix(line, "Response/Success/Data/VS/SubVS/VSIndex="); ok {
			return text
		}
	}
	return "none"
}

// shapeless names the fields of an example that are missing or of another type.
func shapeless(path string, got, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{path + " is no object"}
		}
		var wrong []string
		for name, value := range want {
			if one, there := have[name]; there {
				wrong = append(wrong, shapeless(path+"/"+name, one, value)...)
			} else {
				wrong = append(wrong, path+"/"+name+" is missing")
			}
		}
		return wrong
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) == 0 {
			return []string{path + " is no list, or has nothing in it"}
		}
		return shapeless(path+"[0]", have[0], want[0])
	}
	if reflect.TypeOf(got) != reflect.TypeOf(want) {
		return []string{fmt.Sprintf("%s is %T, not %T", path, got, want)}
	}
	return nil
}

// TestWhatIsWrittenIsReadBackDifferently holds the differences of loadmaster.md 3.6
// and the refusals of section 3, in both notations of a call's name and values.
func TestWhatIsWrittenIsReadBackDifferently(t *testing.T) {
	const vs = "vs=10.0.0.4&port=80&prot=tcp"
	tests := []struct {
		name   string
		before []string // calls that work
		call   string
		status int
		read   string // a call
		shows  string // in its answer, or in that of call where there is no read
	}{
		{"whole minutes of persistence", nil, "modvs?" + vs + "&persisttimeout=100", 200, "showvs?" + vs, "<PersistTimeout>60</PersistTimeout>"},
		{"less than a minute is off", nil, "modvs?" + vs + "&persisttimeout=59", 200, "showvs?" + vs, "<PersistTimeout>0</PersistTimeout>"},
		{"no idle time is the default", nil, "modvs?" + vs + "&idletime=0", 200, "showvs?" + vs, "<Idletime>660</Idletime>"},
		{"a rewrite is a number", nil, "modvs?" + vs + "&sslrewrite=https", 200, "showvs?" + vs, "<SSLRewrite>2</SSLRewrite>"},
		{"an adaptive schedule has a second name", nil, "modvs?" + vs + "&schedule=adaptive", 200, "showvs?" + vs, "<Adaptive>http_rs</Adaptive>"},
		{"layer 4 excludes layer 7", nil, "modvs?" + vs + "&forcel4=1", 200, "showvs?" + vs, "<ForceL7>N</ForceL7>"},
		{"UDP is layer 4 and transparent", []string{"addvs?vs=10.0.0.4&port=53&prot=udp&forcel7=1"}, "showvs?vs=10.0.0.4&port=53&prot=udp", 200, "", "<Transparent>Y</Transparent>"},
		{"a list of ciphers is a set of the unit's", []string{"modvs?" + vs + "&ciphers=A:B"}, "showvs?" + vs, 200, "", "<CipherSet>Custom_"},
		{"TLS without a certificate is the unit's own", []string{"modvs?" + vs + "&sslacceleration=1"}, "showvs?" + vs, 200, "", "<CertFile>0000"},
		{"a matching rule says its type with a capital", nil, "addrule?name=r1&matchtype=regex&pattern=x", 200, "showrule?name=r1", "<MatchType>Regex</MatchType>"},
		{"a header's value has another name", nil, "addrule?name=r1&type=1&header=X&replacement=v", 200, "showrule?name=r1", "<HeaderValue>v</HeaderValue>"},
		{"no connection timeout is the default", nil, "set?param=conntimeout&value=0", 200, "get?param=conntimeout", "660"},
		{"ftp is wput", nil, "set?param=backupmethod&value=ftp", 200, "get?param=backupmethod", "wput"},
		{"a switch is yes or no", nil, "set?param=snmpenable&value=1", 200, "get?param=snmpenable", "yes"},
		{"an address in a list has a prefix", nil, "aclcontrol?add=black&addr=10.1.2.3", 200, "aclcontrol?list=block", "<addr>10.1.2.3/32</addr>"},
		{"minutes of a name are seconds", []string{"addfqdn?fqdn=www.example.com"}, "modfqdn?fqdn=www.example.com&failtime=2", 200, "listfqdns", "<FailTime>120</FailTime>"},
		{"any port of a map", []string{"addfqdn?fqdn=www.example.com", "addmap?fqdn=www.example.com&ip=10.0.0.4"}, "modmap?fqdn=www.example.com&ip=10.0.0.4&mapport=2", 200, "listfqdns", "<MappedPort>*</MappedPort>"},
		{"a range without a country", nil, "addip?ip=10.0.0.0/8", 200, "listips", "<Country>-1</Country>"},
		{"the SOA is nested", nil, "modparams?ttl=60", 200, "listparams", "<soa>\n<TTL>60</TTL>"},
		{"a secret is masked", []string{"addldapendpoint?name=l1&adminpass=secret"}, "showldaplist", 200, "", "<AdminPass>********</AdminPass>"},

		{"a service on a port that there is not", nil, "addvs?vs=10.0.0.4&port=2&prot=tcp", 422, "", "port"},
		{"a service without a port", nil, "addvs?vs=10.0.0.4&prot=tcp", 400, "", "port: String Value missing"},
		{"the same service again", nil, "addvs?" + vs, 422, "", "already"},
		{"a service that there is not", nil, "modvs?vs=10.0.0.9&port=80&prot=tcp&nickname=x", 422, "", "Unknown VS"},
		{"a certificate that there is not", nil, "modvs?" + vs + "&certfile=none", 422, "", "certfile"},
		{"a weight out of range", []string{"addrs?" + vs + "&rs=10.0.2.1&rsport=80"}, "modrs?" + vs + "&rs=10.0.2.1&rsport=80&weight=0", 422, "", "Weight"},
		{"a header rule at a real server", []string{"addrule?name=r1&type=1", "addrs?" + vs + "&rs=10.0.2.1&rsport=80"}, "addrsrule?" + vs + "&rs=10.0.2.1&rsport=80&rule=r1", 422, "", "rule"},
		{"a rule that is bound", []string{"addrule?name=r1", "addprerule?" + vs + "&rule=r1"}, "delrule?name=r1", 422, "", "in use"},
		{"a cipher set that is used", []string{"modifycipherset?name=mine&value=A", "modvs?" + vs + "&cipherset=mine"}, "delcipherset?name=mine", 422, "", "Command Failed: Cipher set in use"},
		{"a user twice", []string{"useraddlocal?user=u1&password=x"}, "useraddlocal?user=u1&password=x", 422, "", "User already exists."},
		{"the packet filter off while GEO is on", []string{"enablegeo"}, "aclcontrol?enable=0", 422, "", "Cannot disable aclcontrol while GSLB is enabled"},
		{"a comment that is too long", nil, "aclcontrol?add=block&addr=10.1.2.3&comment=" + strings.Repeat("x", 128), 422, "", "comment"},
		{"a limit of bandwidth without the global one", nil, "clientbandwidthlimitadd?l7addr=10.1.1.1&l7limit=5", 422, "", "bandwidth"},
		{"a health check interval out of range", nil, "modhealth?retryinterval=8", 422, "", "RetryInterval"},
		{"a parameter out of range", nil, "set?param=wuidisplaylines&value=9", 422, "", "wuidisplaylines"},
		{"a message that is too long", nil, "set?param=wuipreauth&value=%00", 200, "", "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(t *testing.T, l *lab) {
				l.t = t
				l.running()
				for _, call := range tt.before {
					if status, body := l.v1(call); status != 200 {
						t.Fatalf("%s: %d %s", call, status, body)
					}
				}
				status, body := l.v1(tt.call)
				if status != tt.status {
					t.Errorf("%s: %d %s, want %d", tt.call, status, body, tt.status)
				}
				if tt.read != "" {
					_, body = l.v1(tt.read)
				}
				if !strings.Contains(body, tt.shows) {
					t.Errorf("got %s, want %s in it", body, tt.shows)
				}
			})
		})
	}
}

// TestNoCallGivesAPrivateKey looks for it in every answer; a backup of certificates
// carries it to another unit, for who has the passphrase.
func TestNoCallGivesAPrivateKey(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		settled(l)
		for _, call := range []string{"listcert", "readcert?cert=Example", "listvs", "getall"} {
			if _, body := l.v1(call); strings.Contains(body, "PRIVATE") || strings.Contains(body, "private") {
				t.Errorf("%s gives the private key: %s", call, body)
			}
		}
		_, body := l.v1("backupcert?password=once&type=full")
		file := base64.StdEncoding.EncodeToString([]byte(body))
		if err := l.second.Execute("restorecert", map[string]string{"password": "other", "type": "full", "data": file}); err == nil {
			t.Error("another passphrase opens the backup")
		}
		l.at(l.second, "restorecert", "password", "once", "type", "full", "data", file)
		if got := l.setting(l.second, "certificates Example key"); !strings.Contains(got, "private") {
			t.Errorf("the other unit has for a key %q", got)
		}
	})
}

func TestPartsOfABackupCarryTheirClasses(t *testing.T) {
	for kind, path := range map[int]string{
		1: "hosts 10.0.0.77", 2: "content-rules rule1", 4: "geo-ip-ranges 10.0.0.0/8", 8: "ldap-endpoints l1 adminpass",
	} {
		inLab(t, nil, func(t *testing.T, l *lab) {
			settled(l)
			l.at(l.first, "addhostsentry", "hostip", "10.0.0.77", "hostfqdn", "a.example.com")
			l.at(l.first, "addip", "ip", "10.0.0.0/8")
			l.at(l.first, "addldapendpoint", "name", "l1", "adminpass", "secret")
			file := l.backupOf(firstAddr)
			want := l.setting(l.first, path)
			l.first.Replace()
			l.first.License("the-key", "the-password")
			l.first.Start(active)
			l.restoreOn(firstAddr, 15-kind, file)
			if got := l.setting(l.first, path); got != "absent" {
				t.Errorf("all parts but %d bring %s: %q", kind, path, got)
			}
			l.restoreOn(firstAddr, kind, file)
			if got := l.setting(l.first, path); got != want {
				t.Errorf("part %d brings for %s %q, want %q", kind, path, got, want)
			}
		})
	}
}

// TestWhatStaysOnAUnitIsNoticedAtTheWire holds what a story is judged by.
func TestWhatStaysOnAUnitIsNoticedAtTheWire(t *testing.T) {
	tests := map[string]string{ // a call, and what is noticed of it
		"set?param=motd&value=hello":                 "",
		"set?param=hostname&value=x":                 "hostname",
		"set?param=namserver&value=10.0.0.1":         "nameserver",
		"set?param=sshport&value=23":                 "sshport",
		"set?param=emailpassword&value=********":     "asterisks in emailpassword",
		"set?param=emailpassword&value=secret":       "",
		"addadditional?interface=0&addr=10.1.1.1/24": "addadditional",
		"addroute?dest=10.9.0.0/16":                  "addroute",
		"addldapendpoint?name=l1&adminpass=*****":    "asterisks in addldapendpoint",
		"addrule?name=r1":                            "",
	}
	for call, want := range tests {
		inLab(t, nil, func(t *testing.T, l *lab) {
			l.running()
			l.v1(call)
			if got := strings.Join(l.first.ExcludedWrites(), " "); got != want {
				t.Errorf("%s: noticed %q, want %q", call, got, want)
			}
		})
	}
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.restoreOn(firstAddr, 14, l.backupOf(secondAddr))
		l.restoreOn(firstAddr, 15, l.backupOf(firstAddr))
		if got := l.first.ExcludedWrites(); len(got) > 0 {
			t.Errorf("parts without the base, and the unit's own base: %q", got)
		}
		l.restoreOn(firstAddr, 3, l.backupOf(secondAddr))
		if got := l.first.ExcludedWrites(); !slices.Equal(got, []string{"base of lm2"}) {
			t.Errorf("the base of the other unit: %q", got)
		}
	})
}

// TestAsterisksAreStoredAsTheyAre holds that a client which writes back what it read
// is found out (loadmaster.md 6 number 8).
func TestAsterisksAreStoredAsTheyAre(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.at(l.first, "addldapendpoint", "name", "l1", "adminpass", "secret")
		l.v1("modifyldapendpoint?name=l1&adminpass=********")
		if got := l.setting(l.first, "ldap-endpoints l1 adminpass"); got != "********" {
			t.Errorf("stored %q", got)
		}
	})
}

func TestManyServicesAreReadInOneCall(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.first.AddServices(2000, 5)
		status, body := l.v1("listvs")
		if n := strings.Count(body, "<Rs>"); status != 200 || n != 10_000 {
			t.Errorf("%d with %d real servers", status, n)
		}
		if differences := l.first.Differences(l.second); len(differences) != 2000 {
			t.Errorf("%d differences", len(differences))
		}
	})
}
