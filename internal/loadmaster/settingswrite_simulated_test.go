package loadmaster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
	"tandem/internal/settings"
)

// everyClass are the classes that can be read.
var everyClass = append(settings.Everyday(), settings.OWASPRules, settings.ServiceAccessLists)

// everything sets something of each class that object calls can add, as a person does
// at a unit's pages. {sub N} and {slot N} are the numbers of the Nth service within
// another one, and {rs HOST} that of a real server.
const everything = `
set param=motd value=welcome_to_the_unit
set param=snat value=1
set param=ntphost value=a.example_b.example
set param=ClientMaxBandwidthLimit value=1000
set param=sysloginfo value=10.1.1.7,10.1.1.8
set param=backupmethod value=scp
modhealth retryinterval=20 timeout=5
modadaptive adaptiveport=81
addhostsentry hostip=10.1.1.9 hostfqdn=db.example
modifycipherset name=Ours value=ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256
groupaddremote group=admins
groupsetperms group=admins perms=vs,real
addrule type=0 name=api matchtype=prefix pattern=/api nocase=1
addrule type=0 name=web matchtype=regex pattern=^/
addrule type=1 name=hello header=X-Hello replacement=a_b
addrule type=5 name=body pattern=a replacement=b nocase=1
addvs vs=10.0.0.4 port=443 prot=tcp vstype=http nickname=main cipherset=Ours schedule=wlc persist=src persisttimeout=3600 sslrewrite=https
addvs vs=10.0.0.4 port=80 prot=tcp nickname=plain checktype=http checkurl=/healthz interceptopts=opblock;auditall
addvs vs=10.0.0.4 port=25 prot=udp ciphers=AES256-SHA
addvs vs=0.0.0.0 port=* prot=tcp nickname=any
addrs vs=10.0.0.4 port=80 prot=tcp rs=10.1.1.1 rsport=8080 weight=500
addrs vs=10.0.0.4 port=80 prot=tcp rs=10.1.1.2 rsport=8080 forward=nat limit=10
addrs vs=10.0.0.4 port=80 prot=tcp rs=web.example rsport=8081
modrs vs=10.0.0.4 port=80 prot=tcp rs=10.1.1.2 rsport=8080 follow={rs_10.1.1.1}
modvs vs=10.0.0.4 port=443 prot=tcp createsubvs=
modvs vs=10.0.0.4 port=443 prot=tcp createsubvs=
modvs vs=10.0.0.4 port=443 prot=tcp createsubvs=
modvs vs={sub_1} nickname=alpha checkurl=/alpha
modvs vs={sub_2} nickname=beta errorurl=http://elsewhere.example
addrs vs={sub_1} rs=10.1.1.3 rsport=80
addrs vs={sub_1} rs=10.1.1.4 rsport=80
modrs vs=10.0.0.4 port=443 prot=tcp rs=!{slot_1} weight=300
addrsrule vs=10.0.0.4 port=443 prot=tcp rs=!{slot_1} rule=web
addrsrule vs=10.0.0.4 port=443 prot=tcp rs=!{slot_1} rule=api
addrsrule vs={sub_1} rs=!{rs_10.1.1.4} rule=api
addprerule vs=10.0.0.4 port=80 prot=tcp rule=web
addprerule vs=10.0.0.4 port=80 prot=tcp rule=api
addresponserule vs=10.0.0.4 port=80 prot=tcp rule=hello
addresponsebodyrule vs=10.0.0.4 port=80 prot=tcp rule=body
addrequestrule vs=10.0.0.4 port=80 prot=tcp rule=hello
aclcontrol add=block addr=10.9.0.0/16 comment=not_these
aclcontrol add=allow addr=10.9.1.1
aclcontrol addvs=allow vsip=10.0.0.4 vsport=80 vsprot=tcp addr=10.8.0.0/16 comment=friends
aclcontrol enable=1
aclcontrol drop=1
clientmaxclimitadd l7addr=10.2.0.0/16 l7limit=5
clientcpslimitadd l7addr=10.2.0.0/16 l7limit=6
clientrpslimitadd l7addr=10.2.0.0/16 l7limit=7
clientbandwidthlimitadd l7addr=10.2.0.0/16 l7limit=8
addlimitrule name=slow pattern=/slow limit=3 match=1
enablegeo
addcluster ip=10.0.0.4 name=here
modcluster ip=10.0.0.4 type=localLM
addcluster ip=172.24.1.7 name=there
modcluster ip=172.24.1.7 type=remoteLM
addcustomlocation location=Attic
clustchangeloc ip=172.24.1.7 latsecs=3600 longsecs=7200
addip ip=10.7.0.0/16
addipcountry ip=10.7.0.0/16 countrycode=DE
modiploc ip=10.7.0.0/16 lat=100 long=200
modparams zone=example.com
geoacl/addcustom addr=10.6.0.0/16
addfqdn fqdn=www.example.com
modfqdn fqdn=www.example.com selectioncriteria=fw failtime=3
addmap fqdn=www.example.com ip=10.0.0.4 clust=here
addmap fqdn=www.example.com ip=172.24.1.50 clust=there
modmap fqdn=www.example.com ip=172.24.1.50 checker=clust weight=10 mapaddress=172.24.1.50 mapport=80
changemaploc fqdn=www.example.com ip=172.24.1.50 lat=1 long=2
addcountry fqdn=www.example.com ip=172.24.1.50 countrycode=DE
addrr fqdn=www.example.com type=txt rdata=hello
`

// afterwards changes and deletes of it, and changes the order of what has one.
const afterwards = `
set param=motd value=
set param=snat value=0
set param=sysloginfo value=10.1.1.8
modhealth retryinterval=21
delhostsentry hostip=10.1.1.9
addhostsentry hostip=10.1.1.9 hostfqdn=other.example
modifycipherset name=Ours value=ECDHE-RSA-AES256-GCM-SHA384
groupsetperms group=admins perms=
modrule type=0 name=api matchtype=prefix pattern=/api/v2 nocase=0 negate=1
modvs vs=10.0.0.4 port=443 prot=tcp ciphers=AES256-SHA persist=none sslrewrite=
modvs vs=10.0.0.4 port=80 prot=tcp checkurl= nickname=
modvs vs=10.0.0.4 port=80 prot=tcp preprocprecedence=api preprocprecedencepos=1
delresponserule vs=10.0.0.4 port=80 prot=tcp rule=hello
delrs vs=10.0.0.4 port=80 prot=tcp rs=10.1.1.1 rsport=8080
modrs vs=10.0.0.4 port=80 prot=tcp rs=!{rs_web.example} weight=7
delvs vs={sub_2}
modvs vs={sub_1} checkurl=/other
delrsrule vs=10.0.0.4 port=443 prot=tcp rs=!{slot_1} rule=web
addrsrule vs=10.0.0.4 port=443 prot=tcp rs=!{slot_1} rule=web
delvs vs=10.0.0.4 port=25 prot=udp
aclcontrol del=block addr=10.9.0.0/16
aclcontrol add=block addr=10.9.0.0/16 comment=nor_these
aclcontrol delvs=allow vsip=10.0.0.4 vsport=80 vsprot=tcp addr=10.8.0.0/16
aclcontrol drop=0
clientmaxclimitdel l7addr=10.2.0.0/16
clientcpslimitadd l7addr=10.2.0.0/16 l7limit=16
modlimitrule name=slow limit=30
modcluster ip=172.24.1.7 enable=0
deletecustomlocation clName=Attic
delmap fqdn=www.example.com ip=10.0.0.4
modmap fqdn=www.example.com ip=172.24.1.50 weight=11 mapport=*
removecountry fqdn=www.example.com ip=172.24.1.50 countrycode=DE
removeipcountry ip=10.7.0.0/16 countrycode=DE
modfqdn fqdn=www.example.com failtime=0 siterecoverymode=manual
modparams ttl=77
geoacl/removecustom addr=10.6.0.0/16
`

// hand carries out such a script at a unit.
func (s *simulated) hand(t *testing.T, unit int, script string) {
	t.Helper()
	for line := range strings.Lines(script) {
		if strings.Contains(line, "{") {
			line = s.numbers(t, unit).Replace(line)
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.person(unit, words); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
}

// person does one thing at a unit.
func (s *simulated) person(unit int, words []string) error {
	args := map[string]string{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		args[strings.ToLower(name)] = strings.ReplaceAll(value, "_", " ")
	}
	return []*lab.Unit{s.first, s.second}[unit].Command(words[0], args)
}

// numbers asks a unit, beside the client, which numbers its services have.
func (s *simulated) numbers(t *testing.T, unit int) *strings.Replacer {
	t.Helper()
	type service struct {
		VSIndex, RsIndex string
		Addr             string
		DNSName          string `xml:"DnsName"`
	}
	var answer struct {
		VS []struct {
			SubVS []service
			Rs    []service
		} `xml:"Success>Data>VS"`
	}
	decoder := xml.NewDecoder(strings.NewReader(s.ask(t, unit, "listvs")))
	decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := decoder.Decode(&answer); err != nil {
		t.Error(err)
	}
	var pairs []string
	pair := func(format string, which any, number string) {
		pairs = append(pairs, fmt.Sprintf("{"+format+"}", which), strings.TrimSpace(number))
	}
	for _, vs := range answer.VS {
		for i, sub := range vs.SubVS {
			pair("sub_%d", i+1, sub.VSIndex)
			pair("slot_%d", i+1, sub.RsIndex)
		}
		for _, rs := range vs.Rs {
			pair("rs_%s", strings.TrimSpace(rs.Addr), rs.RsIndex)
			pair("rs_%s", strings.TrimSpace(rs.DNSName), rs.RsIndex)
		}
	}
	return strings.NewReplacer(pairs...)
}

// ask makes a call beside the client, and returns the answer.
func (s *simulated) ask(t *testing.T, unit int, query string) string {
	t.Helper()
	time.Sleep(time.Second) // within what a unit bears
	transport := &http.Transport{DialContext: s.own.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+s.defs[unit].Address.String()+":8443/access/"+query, http.NoBody)
	if err != nil {
		t.Error(err)
		return ""
	}
	req.SetBasicAuth(withPassword.User, withPassword.Password)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// withoutSync has the units' own sync find no way, so that what arrives was written.
func (s *simulated) withoutSync() {
	for i := range s.defs {
		s.network.Block(s.defs[i].Address, s.defs[1-i].Address, 6973)
	}
}

func (s *simulated) read(t *testing.T) (both [2]settings.Snapshot) {
	t.Helper()
	for i := range both {
		var err error
		if both[i], err = s.client.ReadSettings(t.Context(), s.defs[i], everyClass...); err != nil {
			t.Fatal(err)
		}
	}
	return both
}

var both = settings.Policy{Active: pair.First, Prefer: settings.PreferActive}

// sync merges and writes, and returns what both have in common then. Nothing may be
// left of it.
func (s *simulated) sync(t *testing.T, base settings.Base) settings.Base {
	t.Helper()
	units := s.read(t)
	r := settings.Merge(base, &units[0], &units[1], both)
	for i, writes := range [][]settings.Write{r.ToFirst, r.ToSecond} {
		for len(writes) > 0 {
			done, err := s.client.WriteSettings(t.Context(), s.defs[i], writes)
			if err != nil {
				t.Errorf("%s: %v", writes[done], err)
				done++
			}
			writes = writes[done:]
		}
	}
	units = s.read(t)
	again := settings.Merge(r.Base, &units[0], &units[1], both)
	for _, w := range slices.Concat(again.ToFirst, again.ToSecond) {
		t.Errorf("left: %s", w)
	}
	return again.Base
}

func TestSimulatedWritesMakeBothUnitsEqual(t *testing.T) {
	tests := []struct {
		rule  string
		opts  lab.Options
		creds loadmaster.Credentials
	}{
		{"by the JSON API", lab.Options{}, withKey},
		{"where all is text in JSON", lab.Options{V2Values: lab.V2Strings}, withPassword},
		{"by the XML API", lab.Options{V2NeedsSessionManagement: true}, withPassword},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			withSimulated(t, tt.opts, func(t *testing.T, s *simulated) {
				s.secrets.set(tt.creds)
				s.withoutSync()
				s.hand(t, 0, everything)
				base := s.sync(t, settings.Base{})
				s.hand(t, 0, afterwards)
				s.sync(t, base)
			})
		})
	}
}

func TestSimulatedSyncIsProvoked(t *testing.T) {
	for name, opts := range map[string]lab.Options{"v2": {}, "v1": {V2NeedsSessionManagement: true}} {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				time.Sleep(5 * time.Minute)
				s.hand(t, 0, "addhostsentry hostip=10.1.1.9 hostfqdn=db.example")
				arrived := func() bool {
					units := s.read(t)
					for _, unit := range units {
						if services, read := unit.Objects(settings.VirtualServices); !read || len(services) > 0 {
							t.Errorf("the marked service is read as %v", services)
						}
					}
					hosts, _ := units[1].Objects(settings.Hosts)
					return len(hosts) == 1
				}
				if arrived() {
					t.Fatal("it arrived by itself")
				}
				for range 2 { // the second time after a crash, which left the first one
					if err := s.client.ProvokeSync(t.Context(), s.defs[0]); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Second)
				if !arrived() {
					t.Error("it did not arrive")
				}
				if n := strings.Count(s.ask(t, 0, "listvs"), settings.ProvocationName); n != 1 {
					t.Errorf("the active unit has %d marked services", n)
				}
				for i := range s.defs {
					for range 2 {
						if err := s.client.WithdrawProvocation(t.Context(), s.defs[i]); err != nil {
							t.Fatal(err)
						}
					}
					if strings.Contains(s.ask(t, i, "listvs"), settings.ProvocationName) {
						t.Errorf("unit %d has the marked service", i+1)
					}
				}
			})
		})
	}
}

func TestSimulatedStandbyRejectsWrites(t *testing.T) {
	withSimulated(t, lab.Options{StandbyWrites: lab.StandbyRejectsWrites}, func(t *testing.T, s *simulated) {
		s.withoutSync()
		s.hand(t, 0, "addhostsentry hostip=10.1.1.9 hostfqdn=db.example")
		units := s.read(t)
		r := settings.Merge(settings.Base{}, &units[0], &units[1], both)
		done, err := s.client.WriteSettings(t.Context(), s.defs[1], r.ToSecond)
		if done != 0 || !errors.Is(err, settings.ErrStandbyRejects) {
			t.Errorf("got %d, %v", done, err)
		}
		if err := s.client.ProvokeSync(t.Context(), s.defs[1]); !errors.Is(err, settings.ErrStandbyRejects) {
			t.Errorf("a provocation: %v", err)
		}
	})
}

// TestSimulatedSecretsStay has both units with secrets of their own, which read as
// asterisks.
func TestSimulatedSecretsStay(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		s.withoutSync()
		s.hand(t, 0, "set param=radiussecret value=first\nset param=emailpassword value=first\nset param=motd value=hello\n"+
			"addldapendpoint name=ad server=a adminpass=first")
		s.hand(t, 1, "set param=radiussecret value=second\naddldapendpoint name=ad server=b adminpass=second")
		base := s.sync(t, settings.Base{})
		s.hand(t, 0, "modifyldapendpoint name=ad server=c\nset param=motd value=bye")
		s.sync(t, base)
		if got, _ := s.second.Parameter("radiussecret"); got != "second" {
			t.Errorf("the second unit's secret is %q", got)
		}
		if got, _ := s.second.Parameter("motd"); got != "bye" {
			t.Errorf("its text is %q", got)
		}
	})
}

// TestSimulatedCertificatesMove takes a private key from one unit to the other.
func TestSimulatedCertificatesMove(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		s.withoutSync()
		s.hand(t, 0, "addcert cert=web data=c2VjcmV0")
		var file bytes.Buffer
		if err := s.client.BackupCertificates(t.Context(), s.defs[0], passphrase, &file); err != nil {
			t.Fatal(err)
		}
		if err := s.client.RestoreCertificates(t.Context(), s.defs[1], "An0therPhrase", bytes.NewReader(file.Bytes())); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("with another passphrase: %v", err)
		}
		if err := s.client.RestoreCertificates(t.Context(), s.defs[1], passphrase, &file); err != nil {
			t.Fatal(err)
		}
		units := s.read(t)
		a, _ := units[0].Objects(settings.Certificates)
		b, _ := units[1].Objects(settings.Certificates)
		if len(a) != 1 || len(b) != 1 || a[0].Value("modulus") != b[0].Value("modulus") {
			t.Errorf("certificates are %v and %v", a, b)
		}
	})
}

// whims are what people do at a unit, with {N} for one of a few numbers and OWN for the
// unit's address. Some of it fails, as where something is not there.
var whims = strings.Split(strings.TrimSpace(`
set param=motd value={9}
set param=snat value={1}
set param=sysloginfo value=10.1.1.{3}
set param=syslognone value=10.1.1.{3}
set param=backuphour value={9}
modhealth retryinterval=1{5}
addhostsentry hostip=10.1.1.{5} hostfqdn=h{9}.example
delhostsentry hostip=10.1.1.{5}
modifycipherset name=Ours{2} value=A:B{9}
groupaddremote group=g{3}
groupsetperms group=g{3} perms=vs
groupsetperms group=g{3} perms=real,rules
groupdelremote group=g{3}
addrule type=0 name=r{4} matchtype=prefix pattern=/{9}
addrule type=1 name=x{4} header=X replacement={9}
modrule type=1 name=x{4} header=Y replacement={9}
modrule type=0 name=r{4} matchtype=regex pattern={9} negate={1}
addvs vs=OWN port=80{3} prot=tcp nickname=n{9}
addvs vs=0.0.0.0 port=90{3} prot=tcp checktype=http checkurl=/{9}
modvs vs=OWN port=80{3} prot=tcp checkurl=/{9} persist=src persisttimeout={9}00
modvs vs=OWN port=80{3} prot=tcp checkurl= persist=none
modvs vs=OWN port=80{3} prot=tcp sslrewrite=http
modvs vs=OWN port=80{3} prot=tcp ciphers=A:B{9}
modvs vs=OWN port=80{3} prot=tcp cipherset=Ours{2}
modvs vs=OWN port=80{3} prot=tcp createsubvs=
modvs vs={sub_1} nickname=s{9} checkhost=h{9}
modvs vs={sub_2} nickname=s{9}
modrs vs=OWN port=801 prot=tcp rs=!{slot_1} weight={9}
delvs vs={sub_1}
delvs vs=OWN port=80{3} prot=tcp
addrs vs=OWN port=80{3} prot=tcp rs=10.2.2.{4} rsport=80 weight={9}
addrs vs={sub_1} rs=10.2.2.{4} rsport=80
addrs vs=OWN port=80{3} prot=tcp rs=h{3}.example rsport=80
modrs vs=OWN port=80{3} prot=tcp rs=10.2.2.{4} rsport=80 weight={9} enable={1}
delrs vs=OWN port=80{3} prot=tcp rs=10.2.2.{4} rsport=80
addprerule vs=OWN port=80{3} prot=tcp rule=r{4}
delprerule vs=OWN port=80{3} prot=tcp rule=r{4}
addrequestrule vs=OWN port=80{3} prot=tcp rule=r{4}
addresponserule vs=OWN port=80{3} prot=tcp rule=x{4}
modvs vs=OWN port=80{3} prot=tcp requestprecedence=r{4} requestprecedencepos=1
modvs vs=OWN port=80{3} prot=tcp preprocprecedence=r{4} preprocprecedencepos=2
addrsrule vs=OWN port=80{3} prot=tcp rs=!{slot_1} rule=r{4}
addrsrule vs=OWN port=80{3} prot=tcp rs=!{slot_1} rule=r{4}
delrsrule vs=OWN port=80{3} prot=tcp rs=!{slot_1} rule=r{4}
addrsrule vs=OWN port=80{3} prot=tcp rs=!{rs_10.2.2.1} rule=r{4}
delrsrule vs=OWN port=80{3} prot=tcp rs=!{rs_10.2.2.1} rule=r{4}
modrs vs=OWN port=80{3} prot=tcp rs=10.2.2.{4} rsport=80 follow={rs_10.2.2.1}
modfqdn fqdn=f{3}.example selectioncriteria=fw failtime={9}
modfqdn fqdn=f{3}.example siterecoverymode=manual
modmap fqdn=f{3}.example ip=172.25.1.{3} checker=tcp
clustchangeloc ip=172.24.1.{2} latsecs={9} longsecs={9}
addipcountry ip=10.{5}.0.0/16 countrycode=D{9}
changemaploc fqdn=f{3}.example ip=172.25.1.{3} lat={9} long={9}
modparams ttl=1{9} zone={9}.example
aclcontrol add=block addr=10.{9}.0.0/16 comment=c{9}
aclcontrol del=block addr=10.{9}.0.0/16
aclcontrol addvs=allow vsip=OWN vsport=80{3} vsprot=tcp addr=10.{5}.0.0/16
aclcontrol drop={1}
clientmaxclimitadd l7addr=10.{3}.0.0/16 l7limit={9}
clientmaxclimitdel l7addr=10.{3}.0.0/16
addlimitrule name=l{3} pattern=/{9} limit={9} match=1
modlimitrule name=l{3} limit={9}
dellimitrule name=l{3}
addcluster ip=172.24.1.1 name=c1
addcluster ip=172.24.1.2 name=c2
addcluster ip=OWN name=own
modcluster ip=172.24.1.{4} type=remoteLM
modcluster ip=172.24.1.{4} enable={1}
addfqdn fqdn=f{3}.example
delfqdn fqdn=f{3}.example
addmap fqdn=f{3}.example ip=172.25.1.{3}
addmap fqdn=f{3}.example ip=OWN
modmap fqdn=f{3}.example ip=172.25.1.{3} weight={9}
delmap fqdn=f{3}.example ip=172.25.1.{3}
addcustomlocation location=l{5}
addip ip=10.{5}.0.0/16
geoacl/addcustom addr=10.{5}.0.0/16
`), "\n")

// whim is one of them.
func (s *simulated) whim(t *testing.T, unit int, r *rand.Rand) string {
	line := whims[r.IntN(len(whims))]
	line = strings.ReplaceAll(line, "OWN", s.defs[unit].Address.String())
	for n := range 10 {
		for strings.Contains(line, fmt.Sprintf("{%d}", n)) {
			line = strings.Replace(line, fmt.Sprintf("{%d}", n), fmt.Sprint(r.IntN(n+1)), 1)
		}
	}
	if strings.Contains(line, "{") {
		line = s.numbers(t, unit).Replace(line)
	}
	return line
}

// TestSimulatedHistoriesEndEqual lets people do at both units whatever they like, and
// merges and writes, again and again: in the end nothing is left to write.
func TestSimulatedHistoriesEndEqual(t *testing.T) {
	for seed := range uint64(4) {
		opts := lab.Options{V2NeedsSessionManagement: seed%2 == 1}
		t.Run(fmt.Sprintf("history %d", seed), func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				s.secrets.set(withPassword)
				s.withoutSync()
				r := rand.New(rand.NewPCG(seed, 1))
				var base settings.Base
				for range 3 {
					var done []string
					for range 60 {
						unit := min(r.IntN(4), 1) ^ 1 // more often the first
						line := s.whim(t, unit, r)
						if words := strings.Fields(line); s.person(unit, words) == nil {
							done = append(done, fmt.Sprintf("%d %s", unit+1, line))
						}
					}
					if base = s.sync(t, base); t.Failed() {
						t.Errorf("after\n%s", strings.Join(done, "\n"))
						return
					}
				}
			})
		})
	}
}
