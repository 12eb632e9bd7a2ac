package loadmaster_test

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
)

var aloneAddr = netip.MustParseAddr("10.0.0.9")

// inGEO runs a story with the pair and a standalone unit, which are GEO members:
// www.example.com. has an address at each of them. The lists are right, and the
// partners submitted.
func inGEO(t *testing.T, options loadmaster.Options, story func(l *lab, alone *loadmaster.Unit)) {
	t.Helper()
	inLab(t, func(c *loadmaster.Config) { c.Options = options }, func(t *testing.T, l *lab) {
		l.running()
		alone := l.unit(loadmaster.Config{Name: "sa1", Role: loadmaster.Single, Phase: 3*time.Second + 17*time.Microsecond, Seed: 3},
			aloneAddr, func(c *loadmaster.Config) { c.Options = options })
		defer alone.Close()
		alone.Start(loadmaster.Active)
		for _, m := range []struct {
			addr              netip.Addr
			clients, partners string
		}{
			{firstAddr, "10.0.0.4,10.0.0.9", "10.0.0.9"},
			{secondAddr, "10.0.0.4,10.0.0.9", "10.0.0.9"}, // as the settings sync would bring them
			{aloneAddr, "10.0.0.4+10.0.0.5+10.0.0.9", "10.0.0.4,10.0.0.5"},
		} {
			l.ok(m.addr, "set?param=geoclients&value="+m.clients)
			l.ok(m.addr, "set?param=geopartners&value="+m.partners)
			l.ok(m.addr, "modparams?CheckInterval=9")
			l.ok(m.addr, "enablegeo")
		}
		time.Sleep(time.Second)
		l.geoObjects(firstAddr) // second has them by the settings sync
		l.pass(20 * time.Second)
		story(l, alone)
	})
}

// geoObjects makes the clusters, and the name that both sites serve.
func (l *lab) geoObjects(addr netip.Addr) {
	l.t.Helper()
	for _, call := range []string{
		"addcluster?ip=10.0.0.4&name=pair1", "modcluster?ip=10.0.0.4&type=remoteLM",
		"addcluster?ip=10.0.0.9&name=sa1", "modcluster?ip=10.0.0.9&type=remoteLM",
		"addfqdn?fqdn=www.example.com",
		"addmap?fqdn=www.example.com&ip=192.0.2.1&clust=pair1", "modmap?fqdn=www.example.com&ip=192.0.2.1&checker=clust",
		"addmap?fqdn=www.example.com.&ip=192.0.2.2&clust=sa1", "modmap?fqdn=www.example.com&ip=192.0.2.2&checker=clust",
	} {
		l.ok(addr, call)
		time.Sleep(200 * time.Millisecond) // the limit of calls
	}
}

func (l *lab) ok(addr netip.Addr, call string) string {
	l.t.Helper()
	status, body := l.v1Of(addr, call)
	if status != 200 {
		l.t.Fatalf("%s on %s: %d %s", call, addr, status, body)
	}
	return body
}

// sites asks a unit for the addresses of a name, as a client does.
func (l *lab) sites(addr netip.Addr, name string) string {
	l.t.Helper()
	all, code := ask(l.t, l.operator, addr, name, 1)
	if code != 0 {
		l.t.Fatalf("%s answers %d for %s\n%s", addr, code, name, l.transcript())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// ask sends a DNS request over TCP and returns the addresses of the answer and
// its code.
func ask(t *testing.T, from *network.Host, addr netip.Addr, name string, kind uint16) (all []string, code byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := from.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		request = append(append(request, byte(len(label))), label...)
	}
	request = binary.BigEndian.AppendUint16(append(request, 0), kind)
	request = binary.BigEndian.AppendUint16(request, 1)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)); err != nil {
		t.Fatal(err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if answer[0] != 0x12 || answer[1] != 0x34 || answer[2]&0x80 == 0 {
		t.Fatalf("no answer to the request: % x", answer)
	}
	size := map[uint16]int{1: 4, 28: 16}[kind]
	for rest := answer[len(request):]; len(rest) > 0; rest = rest[12+size:] {
		a, _ := netip.AddrFromSlice(rest[12 : 12+size])
		all = append(all, a.String())
	}
	if n := int(binary.BigEndian.Uint16(answer[6:])); n != len(all) {
		t.Fatalf("%d records, %d announced", len(all), n)
	}
	return all, answer[3] & 15
}

const www = "www.example.com"

func TestGEOAnswersWithTheSitesThatAreUp(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, alone *loadmaster.Unit) {
		for _, addr := range []netip.Addr{firstAddr, aloneAddr} {
			if got := l.sites(addr, "WWW.example.com"); got != "192.0.2.1 192.0.2.2" {
				t.Errorf("%s: both sites are up, got %q\n%s", addr, got, l.transcript())
			}
		}
		alone.SetFaults(loadmaster.Faults{RealServersDown: true})
		l.pass(10 * time.Second)
		if got := l.sites(firstAddr, www); got != "192.0.2.1" {
			t.Errorf("one site is down, got %q\n%s", got, l.transcript())
		}
		l.first.PowerOff()
		alone.SetFaults(loadmaster.Faults{})
		l.pass(20 * time.Second)
		if got := l.sites(aloneAddr, www); got != "192.0.2.2" {
			t.Errorf("the other site is down, got %q\n%s", got, l.transcript())
		}
		if got, code := ask(l.t, l.operator, aloneAddr, "nowhere.example.com", 1); len(got) != 0 || code != 3 {
			t.Errorf("a name that is none: %v, code %d", got, code)
		}
		if got, code := ask(l.t, l.operator, aloneAddr, www, 28); len(got) != 0 || code != 0 {
			t.Errorf("no IPv6 address: %v, code %d", got, code)
		}
	})
}

func TestAWrongAccessListShowsAsAWrongAnswer(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, _ *loadmaster.Unit) {
		l.ok(aloneAddr, "set?param=geoclients&value=10.0.0.5,10.0.0.9") // first is forgotten
		l.pass(10 * time.Second)
		if got := l.sites(firstAddr, www); got != "192.0.2.1" {
			t.Errorf("first may not ask sa1, got %q", got)
		}
		if got := l.sites(aloneAddr, www); got != "192.0.2.1 192.0.2.2" {
			t.Errorf("sa1 may ask itself, got %q", got)
		}
		if want := "lm1 finds cluster sa1 (10.0.0.9) down: access refused"; !strings.Contains(l.transcript(), want) {
			t.Errorf("nobody says %q:\n%s", want, l.transcript())
		}
		l.ok(aloneAddr, "set?param=geoclients&value=10.0.0.4,10.0.0.5,10.0.0.9")
		l.pass(10 * time.Second)
		if got := l.sites(firstAddr, www); got != "192.0.2.1 192.0.2.2" {
			t.Errorf("first may ask sa1 again, got %q", got)
		}
	})
}

// partnersOf is what a unit says of its partners: address=status.
func (l *lab) partnersOf(addr netip.Addr) string {
	l.t.Helper()
	var all []string
	for _, line := range xmlLines(l.t, l.ok(addr, "getgeopartnerstatus")) {
		if _, value, ok := strings.Cut(line, "/Partner/"); ok {
			if _, value, _ = strings.Cut(value, "="); strings.TrimSpace(value) != "" {
				all = append(all, value)
			}
		}
	}
	return strings.Join(all, " ")
}

func TestPartnersAreForgottenUntilTheyAreSubmittedAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options loadmaster.Options
		after   string // a failover, of sa1's partners in the eyes of second
		reached bool   // by what second changes
	}{
		{"by a unit that becomes active", loadmaster.Options{}, "10.0.0.9 Unknown", false},
		{"or not at all", loadmaster.Options{Partners: loadmaster.PartnersKept}, "10.0.0.9 Up", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inGEO(t, tt.options, func(l *lab, _ *loadmaster.Unit) {
				if got := l.partnersOf(firstAddr) + ", " + l.partnersOf(aloneAddr); got != "10.0.0.9 Up, 10.0.0.4 Up 10.0.0.5 Down" {
					t.Errorf("before: %s", got)
				}
				l.first.PowerOff()
				l.pass(30 * time.Second)
				l.expect("after the crash", loadmaster.Off, loadmaster.Active)
				l.ok(secondAddr, "addfqdn?fqdn=new.example.com")
				l.pass(10 * time.Second)
				if got := l.partnersOf(secondAddr); got != tt.after {
					t.Errorf("after the failover: %s, want %s", got, tt.after)
				}
				if got := strings.Contains(l.list(aloneAddr), "new.example.com."); got != tt.reached {
					t.Errorf("sa1 has what second has: %v, want %v", got, tt.reached)
				}
				if got := l.ok(secondAddr, "get?param=geopartners"); !strings.Contains(got, "10.0.0.9") {
					t.Errorf("the list itself is gone: %s", got)
				}
				l.ok(secondAddr, "set?param=geopartners&value=10.0.0.9")
				l.pass(10 * time.Second)
				if got := l.partnersOf(secondAddr); got != "10.0.0.9 Up" {
					t.Errorf("after they were submitted: %s\n%s", got, l.transcript())
				}
				if !strings.Contains(l.list(aloneAddr), "new.example.com.") {
					t.Error("sa1 does not have what second has")
				}
			})
		})
	}
}

// list is the names that a unit answers for.
func (l *lab) list(addr netip.Addr) string {
	l.t.Helper()
	_, body := l.v1Of(addr, "listfqdns")
	return body
}

func TestAStandaloneUnitKeepsItsPartnersOverABootOrNot(t *testing.T) {
	for options, want := range map[loadmaster.Partners]string{
		loadmaster.PartnersForgottenWhenActive: "10.0.0.4 Up 10.0.0.5 Down",
		loadmaster.PartnersForgottenAtBoot:     "10.0.0.4 Unknown 10.0.0.5 Unknown",
	} {
		inGEO(t, loadmaster.Options{Partners: options}, func(l *lab, alone *loadmaster.Unit) {
			alone.PowerOff()
			alone.PowerOn()
			l.pass(40 * time.Second)
			if got := l.partnersOf(aloneAddr); got != want {
				t.Errorf("option %d: %s, want %s", options, got, want)
			}
		})
	}
}

func TestNobodyButPartnersIsListenedTo(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, _ *loadmaster.Unit) {
		before := l.list(aloneAddr)
		l.ok(aloneAddr, "set?param=geopartners&value=10.0.0.5")
		l.ok(firstAddr, "addfqdn?fqdn=new.example.com")
		l.pass(10 * time.Second)
		if l.list(aloneAddr) != before {
			t.Error("sa1 took what a stranger told it")
		}
		if got := l.partnersOf(firstAddr); got != "10.0.0.9 Down" {
			t.Errorf("first says %s", got)
		}
	})
}

func TestGEOOffAnswersNobody(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, _ *loadmaster.Unit) {
		if body := l.ok(firstAddr, "isgeoenabled"); !strings.Contains(body, "yes") {
			t.Error(body)
		}
		l.ok(firstAddr, "disablegeo")
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Second)
		defer cancel()
		if conn, err := l.operator.DialContext(ctx, "tcp", "10.0.0.4:53"); err == nil {
			conn.Close()
			t.Error("its DNS port is open")
		}
		if conn, err := l.operator.DialContext(ctx, "tcp", "10.0.0.5:53"); err == nil {
			conn.Close()
			t.Error("the standby's DNS port is open")
		}
	})
}

func TestGEOCallsInBothVersionsOfTheAPI(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		for _, step := range []struct {
			name, v1, v2 string // the same twice where it may be repeated
			status       int
			says         string
		}{
			{"nothing is there", "listclusters", `"cmd":"listclusters"`, 422, "No geo data found"},
			{"no name either", "showfqdn?fqdn=www.example.com", `"cmd":"showfqdn","fqdn":"www.example.com"`, 422, "No geo data found"},
			{"a cluster needs a name", "addcluster?ip=10.0.0.4", `"cmd":"addcluster","ip":"10.0.0.4"`, 400, "name: String Value missing"},
			{"and an address", "addcluster?ip=lm1&name=a", `"cmd":"addcluster","ip":"lm1","name":"a"`, 422, "Invalid address"},
			{"its address is the second word", "addcluster?ip=10.0.0.4&name=a", "", 200, ">Cluster 10.0.0.4 "},
			{"which is taken then", "addcluster?ip=10.0.0.4&name=b", `"cmd":"addcluster","ip":"10.0.0.4","name":"b"`, 422, "exists"},
			{"types are words", "modcluster?ip=10.0.0.4&type=remote", `"cmd":"modcluster","ip":"10.0.0.4","type":"remote"`, 422, "type"},
			{"by index or address", "modcluster?id=1&type=remoteLM&enable=0", `"cmd":"modcluster","ip":"10.0.0.4","type":"remoteLM","enable":false`, 200, ""},
			{"as is shown", "showcluster?id=1", `"cmd":"showcluster","ip":"10.0.0.4"`, 200, "remoteLM"},
			{"another one is not there", "delcluster?ip=10.0.0.6", `"cmd":"delcluster","ip":"10.0.0.6"`, 422, "No geo data found"},
			{"a name", "addfqdn?fqdn=www.example.com", "", 200, "completed"},
			{"given once", "addfqdn?fqdn=www.example.com.", `"cmd":"addfqdn","fqdn":"www.example.com"`, 422, "exists"},
			{"needs letters", "addfqdn?fqdn=a%20b", `"cmd":"addfqdn","fqdn":"a b"`, 422, "fqdn"},
			{"and is not empty", "addfqdn", `"cmd":"addfqdn"`, 400, "fqdn"},
			{"a map of no cluster", "addmap?fqdn=www.example.com&ip=192.0.2.1&clust=c", `"cmd":"addmap","fqdn":"www.example.com","ip":"192.0.2.1","clust":"c"`, 422, "clust"},
			{"a map of one", "addmap?fqdn=www.example.com&ip=192.0.2.1&clust=a", "", 200, "completed"},
			{"once", "addmap?fqdn=www.example.com&ip=192.0.2.1", `"cmd":"addmap","fqdn":"www.example.com","ip":"192.0.2.1"`, 422, "exists"},
			{"with an address", "addmap?fqdn=www.example.com&ip=x", `"cmd":"addmap","fqdn":"www.example.com","ip":"x"`, 422, "Invalid address"},
			{"a weight in its range", "modmap?fqdn=www.example.com&ip=192.0.2.1&weight=0", `"cmd":"modmap","fqdn":"www.example.com","ip":"192.0.2.1","weight":65536`, 422, "weight"},
			{"is taken", "modmap?fqdn=www.example.com&ip=192.0.2.1&weight=7&enable=Y", `"cmd":"modmap","fqdn":"www.example.com","ip":"192.0.2.1","weight":7,"enable":true`, 200, ""},
			{"a checker that the lab has not", "modmap?fqdn=www.example.com&ip=192.0.2.1&checker=icmp", `"cmd":"modmap","fqdn":"www.example.com","ip":"192.0.2.1","checker":"icmp"`, 422, "checker"},
			{"fixed weight", "modfqdn?fqdn=www.example.com&SelectionCriteria=fw", `"cmd":"modfqdn","fqdn":"www.example.com","SelectionCriteria":"fw"`, 200, ""},
			{"proximity is not in the lab", "modfqdn?fqdn=www.example.com&SelectionCriteria=prx", `"cmd":"modfqdn","fqdn":"www.example.com","SelectionCriteria":"prx"`, 422, "SelectionCriteria"},
			{"all of it is listed", "listfqdns", `"cmd":"listfqdns"`, 200, "192.0.2.1"},
			{"with the last dot", "showfqdn?fqdn=WWW.example.com", `"cmd":"showfqdn","fqdn":"www.example.com."`, 200, "www.example.com."},
			{"an interval in its range", "modparams?CheckInterval=8", `"cmd":"modparams","TTL":0`, 422, "Unknown parameter value"},
			{"no partner is known yet", "getgeopartnerstatus", `"cmd":"getgeopartnerstatus"`, 200, "GeoPartners"},
			{"the map goes", "delmap?fqdn=www.example.com&ip=192.0.2.1", "", 200, "completed"},
			{"the name too", "delfqdn?fqdn=www.example.com", "", 200, "completed"},
			{"and the cluster", "delcluster?ip=10.0.0.4", "", 200, "completed"},
			{"GEO is off", "isgeoenabled", `"cmd":"isgeoenabled"`, 200, "no"},
		} {
			time.Sleep(time.Second) // the limit of calls
			if status, body := l.v1(step.v1); status != step.status || !strings.Contains(body, step.says) {
				t.Errorf("%s: v1 answers %d %s", step.name, status, body)
			}
			if step.v2 == "" {
				continue
			}
			if status, body := l.v2(step.v2); status != step.status || !strings.Contains(body, step.says) {
				t.Errorf("%s: v2 answers %d %s", step.name, status, body)
			}
		}
	})
}

func TestGEOAnswersLookLikeTheFixtures(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		names := func(text string) string {
			var all []string
			for _, line := range xmlLines(t, text) {
				name, _, _ := strings.Cut(line, "=")
				all = append(all, name)
			}
			return strings.Join(all, "\n")
		}
		if _, got := l.v1("getgeopartnerstatus"); !slices.Equal(xmlLines(t, got), xmlLines(t, fixture(t, "v1-getgeopartnerstatus-empty.xml"))) {
			t.Errorf("no partners: %s", got)
		}
		if _, got := l.v1("listfqdns"); got != fixture(t, "v1-error-no-geo-data.xml") {
			t.Errorf("no names: %s", got)
		}
		l.ok(firstAddr, "addcluster?ip=172.24.1.5&name=RemoteLM")
		l.ok(firstAddr, "set?param=geopartners&value=172.24.1.7")
		for call, file := range map[string]string{"listclusters": "v1-listclusters.xml", "getgeopartnerstatus": "v1-getgeopartnerstatus.xml"} {
			if got, want := names(l.ok(firstAddr, call)), names(fixture(t, file)); got != want {
				t.Errorf("%s has\n%s\nand %s has\n%s", call, got, file, want)
			}
		}
	})
	inLab(t, func(c *loadmaster.Config) { c.Options.EmptyGEO = loadmaster.EmptyGEOIsEmpty }, func(t *testing.T, l *lab) {
		l.running()
		if status, body := l.v1("listclusters"); status != 200 || !strings.Contains(body, "<Data></Data>") {
			t.Errorf("empty: %d %s", status, body)
		}
	})
}
